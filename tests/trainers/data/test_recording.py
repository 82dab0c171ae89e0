"""Recordings and their cache. Truth: soundfile's own reading, and laws of what is decoded when."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.errors import DecodeError, OutputError
from stemcli.audio.encoders import WavSink
from stemcli.audio.reader import open_audio
from tests.audio_files import stems_in_one_file, tones, write_audio
from tests.trainers.commands import RATE
from tests.trainers.data.amplitude import amplitude
from trainers.data import recording
from trainers.data.recording import open_recording, open_recordings, require_sound
from trainers.data.tracks import Source


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was decoded into the cache, with the depth."""
    seen: list[str] = []
    decode = recording._decode

    def note(path: Path, stream: int, rate: int, target: Path, depth: str) -> bool:
        seen.append(f"{path.name} {stream} {depth}")
        return decode(path, stream, rate, target, depth)

    monkeypatch.setattr(recording, "_decode", note)
    return seen


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("song.wav", "PCM_16"),
        ("song.wav", "PCM_24"),
        ("song.wav", "FLOAT"),
        ("song.wav", "DOUBLE"),
        ("song.aiff", "PCM_24"),
        ("song.flac", "PCM_16"),
        ("song.flac", "PCM_24"),
    ],
)
def test_what_fits_is_read_in_place_to_the_sample(
    recordings: Path, decoded: list[str], name: str, subtype: str
) -> None:
    path = write_audio(recordings / name, tones(30_000, RATE), RATE, subtype)
    recording = open_recording(path, RATE)
    for start, length in ((0, 10), (12_345, 6_789), (29_999, 1), (4_608, 4_096)):
        expected, _ = soundfile.read(path, length, start, dtype="float32", always_2d=True)
        assert np.array_equal(recording.read(start, length), expected.T)
    assert (recording.path, recording.frames, decoded) == (path, 30_000, [])


def test_integers_in_place_leave_no_trace_in_the_cache(recordings: Path) -> None:
    require_sound(open_recording(recordings / "voice.wav", RATE))
    assert not (recordings / "cache").exists()


def test_beyond_the_end_there_is_silence_and_mono_is_doubled(recordings: Path) -> None:
    soundfile.write(recordings / "mono.wav", np.full(100, 0.5), RATE)
    recording = open_recording(recordings / "mono.wav", RATE)
    clip = recording.read(90, 20)
    assert np.array_equal(clip, np.tile(np.repeat([0.5, 0.0], 10), (2, 1)).astype(np.float32))
    assert not recording.read(200, 20).any()


def test_a_recording_is_brought_to_the_rate_of_the_network(recordings: Path) -> None:
    """A tone keeps its frequency in Hz: 3 s of it have three times as many periods."""
    time = np.arange(3 * 44_100) / 44_100
    soundfile.write(recordings / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * time), 44_100)
    recording = open_recording(recordings / "tone.wav", RATE)
    wave = recording.read(0, recording.frames)[0]
    assert len(wave) == 3 * RATE
    assert amplitude(wave, 440) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("name", ["song.mp3", "song.ogg", "song.m4a", "song.wav"])
def test_what_is_decoded_once_is_then_what_stem_hears(
    recordings: Path, decoded: list[str], name: str
) -> None:
    """Reference: the decoded WAV differs from the decoder by the rounding to 16 bits alone."""
    subtype = "ULAW" if name == "song.wav" else None
    path = write_audio(recordings / name, tones(30_000), 44_100, subtype)
    recording = open_recording(path, 44_100)
    with open_audio(path) as reader:
        expected = np.concatenate(list(reader))[5000:6000].T
    assert np.abs(recording.read(5000, 1000) - expected).max() <= 0.51 / 32768
    assert open_recording(path, 44_100) == recording
    assert decoded == [f"{name} 0 16"]


def test_the_cache_knows_content_not_names(recordings: Path, decoded: list[str]) -> None:
    """Touched or moved, a file is not decoded again; changed, or at another rate, it is."""
    path = write_audio(recordings / "song.ogg", tones(20_000), 44_100)
    first = open_recording(path, RATE)
    os.utime(path, (1, 1))
    assert open_recording(path, RATE) == first
    moved = path.rename(recordings / "moved.ogg")
    assert open_recording(moved, RATE).path == first.path
    assert len(decoded) == 1
    open_recording(moved, 2 * RATE)
    write_audio(moved, 0.5 * tones(20_000), 44_100)
    changed = open_recording(moved, RATE)
    assert len(decoded) == 3
    ratio = np.abs(changed.read(0, 3000)).max() / np.abs(first.read(0, 3000)).max()
    assert ratio == pytest.approx(0.5, abs=0.02)


def test_a_file_is_hashed_once(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_audio(recordings / "song.ogg", tones(20_000), 44_100)
    first = open_recording(path, RATE)
    monkeypatch.setattr(recording, "sha256", None)
    assert open_recording(path, RATE) == first


def test_audio_streams_of_one_file_are_apart(recordings: Path, decoded: list[str]) -> None:
    """Stream k holds the sound k times as loud; each is kept on its own."""
    waves = [level * tones(20_000) for level in (1.0, 0.5, 0.25)]
    path = stems_in_one_file(recordings / "song.stem.mp4", waves, "alac")
    opened = open_recordings([Source(path, stream) for stream in range(3)], 44_100)
    for each, wave in zip(opened, waves, strict=True):
        assert np.abs(each.read(0, 20_000) - wave.T).max() < 1e-4
    assert sorted(decoded) == [f"song.stem.mp4 {stream} 16" for stream in range(3)]


def test_who_decodes_the_same_at_once_does_no_harm(recordings: Path) -> None:
    """Each writes under a name of its own; what is left in the end is one whole file."""
    path = write_audio(recordings / "song.ogg", tones(200_000), 44_100)
    opened = open_recordings(8 * [Source(path)], RATE)
    assert len(set(opened)) == 1
    assert list(recording.cache_folder().glob("*.wav")) == [opened[0].path]
    assert not list(recording.cache_folder().rglob("*.part"))
    assert recording._is_whole(opened[0].path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [cut, empty, overwrite, Path.unlink])
def test_a_damaged_cache_file_is_made_again(
    recordings: Path, decoded: list[str], damage: Callable[[Path], None]
) -> None:
    path = write_audio(recordings / "song.ogg", tones(20_000), 44_100)
    first = open_recording(path, RATE)
    before = first.read(0, first.frames)
    damage(first.path)
    assert np.array_equal(open_recording(path, RATE).read(0, first.frames), before)
    assert len(decoded) == 2


def test_the_size_of_more_than_4_gb_is_read_from_its_own_chunk(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    sink = WavSink(path, RATE, 2, "16", largest_riff=1000)
    sink.write(tones(5000, RATE))
    sink.close()
    assert recording._is_whole(path)
    cut(path)
    assert not recording._is_whole(path)


def test_what_goes_beyond_full_scale_is_not_clipped(recordings: Path, decoded: list[str]) -> None:
    """1.5 times full scale stays: what was clipped would no longer add up to a mixture."""
    loud = np.repeat(1.5 * np.sin(np.arange(40_000) / 20)[:, None], 2, axis=1)
    soundfile.write(recordings / "loud.wav", loud, 2 * RATE, "FLOAT")
    recording = open_recording(recordings / "loud.wav", RATE)
    assert np.abs(recording.read(0, 20_000)).max() == pytest.approx(1.5, abs=0.05)
    assert decoded == ["loud.wav 0 16", "loud.wav 0 32f"]


def test_decoding_holds_a_few_blocks_only(recordings: Path) -> None:
    """Four minutes at 44.1 kHz are 85 MB of floats; less than a tenth is held at any time."""
    path = recordings / "long.wav"
    with soundfile.SoundFile(path, "w", 44_100, 2) as file:
        for _ in range(24):
            file.write(tones(441_000))
    open_recording(path, 22_050).path.unlink()
    tracemalloc.start()
    try:
        recording = open_recording(path, 22_050)
        recording.read(1_000_000, 44_100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert recording.frames == 24 * 220_500
    assert peak < 8e6


def test_excerpts_avoid_silence_and_pad_short_recordings(recordings: Path) -> None:
    wave = np.zeros(10 * RATE)
    wave[7 * RATE : 8 * RATE] = 0.5
    soundfile.write(recordings / "gap.wav", wave, RATE)
    recording = open_recording(recordings / "gap.wav", RATE)
    rng = np.random.default_rng(0)
    found = [np.abs(recording.excerpt(2 * RATE, rng, tries=40)).max() for _ in range(10)]
    assert min(found) == pytest.approx(0.5, abs=1e-3)
    assert recording.excerpt(20 * RATE, rng).shape == (1, 20 * RATE)
    soundfile.write(recordings / "silence.wav", np.zeros((RATE, 2)), RATE)
    assert not open_recording(recordings / "silence.wav", RATE).excerpt(RATE // 2, rng).any()


def test_missing_recording_is_named(recordings: Path) -> None:
    with pytest.raises(DecodeError, match=r"There is no file .*none\.wav"):
        open_recording(recordings / "none.wav", RATE)
    (recordings / "text.wav").write_text("not audio")
    with pytest.raises(DecodeError, match=r"No sound can be read from .*text\.wav"):
        open_recording(recordings / "text.wav", RATE)
    soundfile.write(recordings / "empty.wav", np.zeros(0), RATE)
    with pytest.raises(DecodeError, match=r"empty\.wav"):
        open_recording(recordings / "empty.wav", RATE)
    soundfile.write(recordings / "round.wav", np.zeros((9, 6)), RATE)
    with pytest.raises(DecodeError, match=r"round\.wav has 6 channels: mix it down"):
        open_recording(recordings / "round.wav", RATE)


@pytest.mark.parametrize("rate", [RATE, 2 * RATE])
def test_numbers_that_are_none_are_refused(recordings: Path, rate: int) -> None:
    wave = np.zeros((rate, 2), np.float32)
    wave[rate // 2] = np.nan
    soundfile.write(recordings / "odd.wav", wave, rate, subtype="FLOAT")
    for _ in range(2):
        with pytest.raises(DecodeError, match=r"odd\.wav holds NaN .* at 0\.50 s"):
            open_recording(recordings / "odd.wav", RATE)


def test_silence_is_refused_where_sound_is_needed(recordings: Path) -> None:
    soundfile.write(recordings / "odd.wav", np.full((RATE, 2), 0.009), RATE)
    recording = open_recording(recordings / "odd.wav", RATE)
    with pytest.raises(DecodeError, match=r"odd\.wav is silent"):
        require_sound(recording)


@pytest.mark.parametrize("name", ["song.wav", "song.flac"])
def test_a_file_that_shrinks_during_the_run_is_named(recordings: Path, name: str) -> None:
    path = write_audio(recordings / name, tones(30_000, RATE), RATE)
    recording = open_recording(path, RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DecodeError, match=rf"{name} cannot be read at 2\.50 s.*--resume"):
        recording.read(20_000, 10_000)


def test_many_are_opened_in_their_order_and_the_first_mistake_is_told(recordings: Path) -> None:
    names = [f"{number}.wav" for number in range(9)]
    for number, name in enumerate(names):
        soundfile.write(recordings / name, np.zeros(100 + number), RATE)
    sources = [Source(recordings / name) for name in names]
    assert [one.frames for one in open_recordings(sources, RATE)] == list(range(100, 109))
    with pytest.raises(DecodeError, match=r"gone\.wav"):
        open_recordings([*sources, Source(recordings / "gone.wav")], RATE)


def test_a_cache_that_cannot_be_written_is_named(recordings: Path) -> None:
    (recordings / "cache").write_text("a file where the folder should be")
    path = write_audio(recordings / "song.ogg", tones(20_000), 44_100)
    with pytest.raises(OutputError, match="Cannot write"):
        open_recording(path, RATE)

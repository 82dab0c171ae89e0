"""Recordings and their cache. Reference: soundfile's own reading."""

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
    """Files decoded into the cache, with stream and bit depth."""
    decoded_files: list[str] = []
    decode = recording._decode

    def record(path: Path, stream: int, rate: int, target: Path, depth: str) -> bool:
        decoded_files.append(f"{path.name} {stream} {depth}")
        return decode(path, stream, rate, target, depth)

    monkeypatch.setattr(recording, "_decode", record)
    return decoded_files


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
def test_suitable_files_are_read_in_place(
    recordings: Path, decoded: list[str], name: str, subtype: str
) -> None:
    path = write_audio(recordings / name, tones(30_000, RATE), RATE, subtype)
    recording = open_recording(path, RATE)
    for start, length in ((0, 10), (12_345, 6_789), (29_999, 1), (4_608, 4_096)):
        expected, _ = soundfile.read(path, length, start, dtype="float32", always_2d=True)
        assert np.array_equal(recording.read(start, length), expected.T)
    assert (recording.path, recording.frames, decoded) == (path, 30_000, [])


def test_integer_files_read_in_place_are_not_cached(recordings: Path) -> None:
    require_sound(open_recording(recordings / "voice.wav", RATE))
    assert not (recordings / "cache").exists()


def test_reads_beyond_the_end_are_silent_and_mono_becomes_stereo(recordings: Path) -> None:
    soundfile.write(recordings / "mono.wav", np.full(100, 0.5), RATE)
    recording = open_recording(recordings / "mono.wav", RATE)
    clip = recording.read(90, 20)
    assert np.array_equal(clip, np.tile(np.repeat([0.5, 0.0], 10), (2, 1)).astype(np.float32))
    assert not recording.read(200, 20).any()


def test_a_recording_is_resampled_to_the_network_s_rate(recordings: Path) -> None:
    """A tone keeps its frequency in Hz and its length in seconds."""
    time = np.arange(3 * 44_100) / 44_100
    soundfile.write(recordings / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * time), 44_100)
    recording = open_recording(recordings / "tone.wav", RATE)
    wave = recording.read(0, recording.frames)[0]
    assert len(wave) == 3 * RATE
    assert amplitude(wave, 440) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("name", ["song.mp3", "song.ogg", "song.m4a", "song.wav"])
def test_decoded_files_are_cached_and_equal_the_decoder(
    recordings: Path, decoded: list[str], name: str
) -> None:
    """Reference: the engine's decoder; the cached WAV differs by rounding to 16 bits only."""
    subtype = "ULAW" if name == "song.wav" else None
    path = write_audio(recordings / name, tones(30_000), 44_100, subtype)
    recording = open_recording(path, 44_100)
    with open_audio(path) as reader:
        expected = np.concatenate(list(reader))[5000:6000].T
    assert np.abs(recording.read(5000, 1000) - expected).max() <= 0.51 / 32768
    assert open_recording(path, 44_100) == recording
    assert decoded == [f"{name} 0 16"]


def test_the_cache_depends_on_content_not_on_names(recordings: Path, decoded: list[str]) -> None:
    """A touched or moved file is not decoded again; a changed one, or another rate, is."""
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


def test_audio_streams_of_one_file_are_cached_separately(
    recordings: Path, decoded: list[str]
) -> None:
    """Each stream has its own level and its own cache file."""
    waves = [level * tones(20_000) for level in (1.0, 0.5, 0.25)]
    path = stems_in_one_file(recordings / "song.stem.mp4", waves, "alac")
    opened = open_recordings([Source(path, stream) for stream in range(3)], 44_100)
    for opened_stream, wave in zip(opened, waves, strict=True):
        assert np.abs(opened_stream.read(0, 20_000) - wave.T).max() < 1e-4
    assert sorted(decoded) == [f"song.stem.mp4 {stream} 16" for stream in range(3)]


def test_concurrent_decoding_leaves_one_file(recordings: Path) -> None:
    """Each writes under its own name; one complete file is left at the end."""
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
def test_a_damaged_cache_file_is_decoded_again(
    recordings: Path, decoded: list[str], damage: Callable[[Path], None]
) -> None:
    path = write_audio(recordings / "song.ogg", tones(20_000), 44_100)
    first = open_recording(path, RATE)
    before = first.read(0, first.frames)
    damage(first.path)
    assert np.array_equal(open_recording(path, RATE).read(0, first.frames), before)
    assert len(decoded) == 2


def test_sizes_above_4_gb_are_read_from_their_own_chunk(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    sink = WavSink(path, RATE, 2, "16", largest_riff=1000)
    sink.write(tones(5000, RATE))
    sink.close()
    assert recording._is_whole(path)
    cut(path)
    assert not recording._is_whole(path)


def test_samples_beyond_full_scale_are_not_clipped(recordings: Path, decoded: list[str]) -> None:
    """1.5 times full scale is kept: clipped stems would not add up to the mixture."""
    loud = np.repeat(1.5 * np.sin(np.arange(40_000) / 20)[:, None], 2, axis=1)
    soundfile.write(recordings / "loud.wav", loud, 2 * RATE, "FLOAT")
    recording = open_recording(recordings / "loud.wav", RATE)
    assert np.abs(recording.read(0, 20_000)).max() == pytest.approx(1.5, abs=0.05)
    assert decoded == ["loud.wav 0 16", "loud.wav 0 32f"]


def test_decoding_holds_only_a_few_blocks_in_memory(recordings: Path) -> None:
    """Four minutes at 44.1 kHz are 85 MB of floats; memory stays below a tenth of that."""
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
def test_nan_samples_are_refused(recordings: Path, rate: int) -> None:
    wave = np.zeros((rate, 2), np.float32)
    wave[rate // 2] = np.nan
    soundfile.write(recordings / "odd.wav", wave, rate, subtype="FLOAT")
    for _ in range(2):
        with pytest.raises(DecodeError, match=r"odd\.wav holds NaN .* at 0\.50 s"):
            open_recording(recordings / "odd.wav", RATE)


def test_silence_is_refused_where_audio_is_needed(recordings: Path) -> None:
    soundfile.write(recordings / "odd.wav", np.full((RATE, 2), 0.009), RATE)
    recording = open_recording(recordings / "odd.wav", RATE)
    with pytest.raises(DecodeError, match=r"odd\.wav is silent"):
        require_sound(recording)


@pytest.mark.parametrize("name", ["song.wav", "song.flac"])
def test_a_file_truncated_during_the_run_is_named(recordings: Path, name: str) -> None:
    path = write_audio(recordings / name, tones(30_000, RATE), RATE)
    recording = open_recording(path, RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DecodeError, match=rf"{name} cannot be read at 2\.50 s.*--resume"):
        recording.read(20_000, 10_000)


def test_recordings_are_opened_in_order_and_errors_are_raised(recordings: Path) -> None:
    names = [f"{number}.wav" for number in range(9)]
    for number, name in enumerate(names):
        soundfile.write(recordings / name, np.zeros(100 + number), RATE)
    sources = [Source(recordings / name) for name in names]
    assert [opened.frames for opened in open_recordings(sources, RATE)] == list(range(100, 109))
    with pytest.raises(DecodeError, match=r"gone\.wav"):
        open_recordings([*sources, Source(recordings / "gone.wav")], RATE)


def test_a_cache_that_cannot_be_written_is_named(recordings: Path) -> None:
    (recordings / "cache").write_text("a file where the folder should be")
    path = write_audio(recordings / "song.ogg", tones(20_000), 44_100)
    with pytest.raises(OutputError, match="Cannot write"):
        open_recording(path, RATE)

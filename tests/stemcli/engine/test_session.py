"""Songs separated from files and arrays with networks of known output."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.errors import ConfigError, DecodeError, DeviceError, NumericalError, OutputError
from stemcli.audio.writer import aside
from stemcli.engine.events import Event, Notice, Progress
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from stemcli.engine.overlap_add import Block
from stemcli.engine.session import Session
from stemcli.engine.stream import SeparationStream
from tests.stemcli.engine.sessions import RATE, TWO, Louder, files, make_session, read, write
from tests.stemcli.engine.stubs import BrokenWhereLoud, Scaling, Stub, noise


@pytest.mark.parametrize(
    ("subtype", "step"), [("PCM_16", 2**-15), ("PCM_24", 2**-23), ("FLOAT", 1e-7)]
)
def test_stems_keep_the_format_of_the_song(tmp_path: Path, subtype: str, step: float) -> None:
    """Property: same rate, channels, length and depth; the sum is the song up to file rounding."""
    song = write(tmp_path / "in", noise(5001), subtype)
    result = make_session(tmp_path / "out").separate_file(song)
    assert result.outputs == {
        "vocals": tmp_path / "out/song/vocals.wav",
        "band": tmp_path / "out/song/band.wav",
    }
    for path in result.outputs.values():
        header = soundfile.info(path)
        assert (header.samplerate, header.channels, header.frames) == (RATE, 2, 5001)
        assert header.subtype == subtype
    mixture = read({"song": song})["song"]
    np.testing.assert_allclose(sum(read(result.outputs).values()), mixture, atol=1.5 * step)
    assert (result.frames, result.sample_rate, result.gain) == (5001, RATE, 1.0)
    assert files(tmp_path / "out") == ["song", "song/band.wav", "song/vocals.wav"]


@pytest.mark.parametrize("frames", [1, 2, 63, 64, 65, 997])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_length_and_channels(tmp_path: Path, frames: int, channels: int) -> None:
    song = write(tmp_path / "in", noise(frames, channels))
    stems = read(make_session(tmp_path / "out").separate_file(song).outputs)
    assert {stem.shape for stem in stems.values()} == {(frames, channels)}
    np.testing.assert_allclose(sum(stems.values()), noise(frames, channels), atol=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_silence_gives_silence(tmp_path: Path, subtype: str) -> None:
    song = write(tmp_path / "in", np.zeros((3000, 2), np.float32), subtype)
    for stem in read(make_session(tmp_path / "out").separate_file(song).outputs).values():
        assert stem.shape == (3000, 2)
        assert not stem.any()


def test_events_in_order(tmp_path: Path) -> None:
    """By hand: load, start, progress up to the end of each stage, finish."""
    events: list[Event] = []
    write(tmp_path / "in", noise(8000), "PCM_16")
    session = make_session(tmp_path / "out", on_event=events.append)
    session.separate_file(tmp_path / "in/song.wav", folder=Path("album"))
    names = [event.to_dict()["event"] for event in events]
    assert list(dict.fromkeys(names)) == [
        "model_loaded",
        "track_started",
        "progress",
        "track_finished",
    ]
    assert {event.to_dict().get("track", "album/song.wav") for event in events} == {
        "album/song.wav"
    }
    ends = {event.stage: event.seconds_done for event in events if isinstance(event, Progress)}
    assert ends == {"separating": 1.0, "encoding": 1.0}
    assert events[-1].to_dict()["audio_seconds"] == 1.0
    assert list(events[-1].to_dict()["outputs"]) == ["vocals", "band"]


def test_models_are_loaded_once(tmp_path: Path) -> None:
    loaded: list[str] = []

    def load(name: str) -> LoadedModel:
        loaded.append(name)
        return LoadedModel(name, Stub())

    chosen = Options(model=("one", "two"), output=str(tmp_path / "out"), device="cpu")
    session = Session(chosen, load=load)
    for name in ("a.wav", "b.wav"):
        session.separate_file(write(tmp_path / "in", noise(100), name=name))
    assert loaded == ["one", "two"]


def test_existing_stems(tmp_path: Path) -> None:
    """By hand: refused, skipped, overwritten."""
    events: list[Event] = []
    song = write(tmp_path / "in", noise(500))
    first = make_session(tmp_path / "out").separate_file(song).outputs["vocals"]
    first.write_bytes(b"mine")
    with pytest.raises(
        OutputError, match=r"already exists\. Add existing='overwrite' or existing='skip'"
    ):
        make_session(tmp_path / "out").separate_file(song)
    skipped = make_session(tmp_path / "out", on_event=events.append, existing="skip").separate_file(
        song
    )
    assert skipped.skipped
    assert events[-1].to_dict()["event"] == "track_skipped"
    assert first.read_bytes() == b"mine"
    make_session(tmp_path / "out", existing="overwrite").separate_file(song)
    assert soundfile.info(first).frames == 500


def test_a_stem_that_a_killed_process_set_aside_comes_back(tmp_path: Path) -> None:
    song = write(tmp_path / "in", noise(500))
    vocals = make_session(tmp_path / "out").separate_file(song).outputs["vocals"]
    before = vocals.read_bytes()
    vocals.replace(aside(vocals))
    with pytest.raises(OutputError, match="already exists"):
        make_session(tmp_path / "out").separate_file(song)
    assert vocals.read_bytes() == before
    assert files(tmp_path / "out") == ["song", "song/band.wav", "song/vocals.wav"]


def test_skipping_needs_all_stems(tmp_path: Path) -> None:
    song = write(tmp_path / "in", noise(500))
    outputs = make_session(tmp_path / "out").separate_file(song).outputs
    outputs["band"].unlink()
    assert not make_session(tmp_path / "out", existing="skip").separate_file(song).skipped
    assert outputs["band"].exists()


@pytest.mark.parametrize("depth", ["16", "32f"])
def test_a_failing_network_leaves_nothing(tmp_path: Path, depth: str) -> None:
    """Property: no file, no temporary file, no folder; the failure is reported once."""
    wave, events = noise(9000), list[Event]()
    wave[7000] = 0.95
    song = write(tmp_path / "in", wave)
    session = make_session(tmp_path / "out/deep", BrokenWhereLoud(), events.append, depth=depth)
    with pytest.raises(NumericalError, match=r"at 0\.8\d s"):
        session.separate_file(song)
    assert files(tmp_path) == ["in", "in/song.wav"]
    assert [event.to_dict()["event"] for event in events].count("track_failed") == 1


@pytest.mark.parametrize("stage", ["separating", "encoding"])
@pytest.mark.parametrize("depth", ["16", "32f"])
def test_an_interrupt_leaves_nothing(tmp_path: Path, stage: str, depth: str) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, Progress) and (event.stage == stage or depth == "32f"):
            raise KeyboardInterrupt

    song = write(tmp_path / "in", noise(9000))
    with pytest.raises(KeyboardInterrupt):
        make_session(tmp_path / "out", on_event=interrupt, depth=depth).separate_file(song)
    assert files(tmp_path) == ["in", "in/song.wav"]


def test_either_all_stems_are_written_or_none(tmp_path: Path) -> None:
    """A folder in the place of the second stem makes the first one disappear too."""

    def block_second_stem(event: Event) -> None:
        if isinstance(event, Progress):
            (tmp_path / "out/song/band.wav").mkdir(exist_ok=True)

    song = write(tmp_path / "in", noise(500))
    with pytest.raises(OutputError, match=r"band\.wav"):
        make_session(tmp_path / "out", on_event=block_second_stem).separate_file(song)
    assert files(tmp_path / "out") == ["song", "song/band.wav"]


def test_a_folder_in_the_place_of_a_stem(tmp_path: Path) -> None:
    song = write(tmp_path / "in", noise(500))
    (tmp_path / "out/song/band.wav").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"band\.wav is a folder"):
        make_session(tmp_path / "out", existing="overwrite").separate_file(song)
    assert files(tmp_path / "out") == ["song", "song/band.wav"]


def test_tags_are_copied_and_odd_ones_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property: one notice per song, not per stem; files are tagged before they are renamed."""
    events: list[Event] = []

    def copy(source: Path, target: Path, *, stem: str) -> list[str]:
        assert target.exists()
        assert not (target.parent / f"{stem}.wav").exists()
        return ["the cover is too large"]

    monkeypatch.setattr("stemcli.engine.outputs.copy_tags", copy)
    song = write(tmp_path / "in", noise(500))
    make_session(tmp_path / "out", on_event=events.append).separate_file(song)
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert notices == ["the cover is too large"]


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    song = write(tmp_path / "in", noise(500))
    with pytest.raises(OutputError, match="Choose another folder with output"):
        make_session(song).separate_file(song)


def test_clipping_lowers_all_stems_alike(tmp_path: Path) -> None:
    """By hand: 3 times 0.5 is 1.5, 3.5 dB above full scale; both stems are divided by it."""
    events: list[Event] = []
    wave = noise(4000)
    wave[1000] = 0.5
    song = write(tmp_path / "in", wave, "PCM_16")
    result = make_session(tmp_path / "out", Louder(stems=TWO), events.append).separate_file(song)
    assert result.gain == pytest.approx(1 / 1.5)
    stems = read(result.outputs)
    assert np.abs(stems["vocals"]).max() == pytest.approx(1.0, abs=2**-15)
    np.testing.assert_allclose(sum(stems.values()), wave / 1.5, atol=3 * 2**-15)
    (message,) = [event.message for event in events if isinstance(event, Notice)]
    assert "3.5 dB above full scale: all were lowered by 3.5 dB" in message


def test_clamping_cuts_the_peaks_only(tmp_path: Path) -> None:
    events: list[Event] = []
    wave = noise(4000)
    song = write(tmp_path / "in", wave, "PCM_16")
    session = make_session(tmp_path / "out", Louder(stems=TWO), events.append, clip_mode="clamp")
    stems = read(session.separate_file(song).outputs)
    np.testing.assert_allclose(stems["vocals"], np.clip(3 * wave, -1, 1), atol=4 * 2**-15)
    (message,) = [event.message for event in events if isinstance(event, Notice)]
    assert "the peaks were cut" in message


@pytest.mark.parametrize("mode", ["rescale", "none"])
def test_float_files_keep_every_level(tmp_path: Path, mode: str) -> None:
    events: list[Event] = []
    wave = noise(4000)
    song = write(tmp_path / "in", wave)
    session = make_session(tmp_path / "out", Louder(stems=TWO), events.append, clip_mode=mode)
    result = session.separate_file(song)
    np.testing.assert_allclose(read(result.outputs)["vocals"], 3 * wave, rtol=1e-5, atol=1e-6)
    assert result.gain == 1.0
    assert not [event for event in events if isinstance(event, Notice)]


def test_integer_files_cannot_keep_every_level(tmp_path: Path) -> None:
    song = write(tmp_path / "in", noise(400), "PCM_16")
    with pytest.raises(ConfigError, match="would let wav at 16 bit clip; use depth='32f'"):
        make_session(tmp_path / "out", clip_mode="none").separate_file(song)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_song_with_nan_is_named_with_the_time(tmp_path: Path, value: float) -> None:
    wave = noise(9000)
    wave[6000, 1] = value
    song = write(tmp_path / "in", wave)
    with pytest.raises(DecodeError, match=r"song\.wav holds NaN or infinity at 0\.75 s"):
        make_session(tmp_path / "out").separate_file(song)


def test_an_excerpt_of_a_song(tmp_path: Path) -> None:
    """By hand: from 0.25 s to 0.5 s at 8 kHz are frames 2000 to 4000."""
    wave, events = noise(9000), list[Event]()
    song = write(tmp_path / "in", wave)
    session = make_session(tmp_path / "out", on_event=events.append, start=0.25, end=0.5)
    stems = read(session.separate_file(song).outputs)
    np.testing.assert_allclose(sum(stems.values()), wave[2000:4000], atol=1e-6)
    assert {event.seconds_total for event in events if isinstance(event, Progress)} == {0.25}
    arrays = session.separate_array(wave, RATE)
    for name, stem in stems.items():
        np.testing.assert_array_equal(arrays[name], stem)


def test_arrays_keep_no_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are views into chunks, so keeping them would keep several times the song."""
    blocks_seen: list[weakref.ref[Block]] = []
    pass_through = SeparationStream.pass_through

    def watched_pass_through(self: SeparationStream, blocks: Iterable[Block]) -> Iterator[Block]:
        for block in pass_through(self, blocks):
            assert not any(earlier() is not None for earlier in blocks_seen[:-1])
            blocks_seen.append(weakref.ref(block))
            yield block

    monkeypatch.setattr(SeparationStream, "pass_through", watched_pass_through)
    wave = noise(20 * RATE, 2)
    stems = make_session(tmp_path).separate_array(wave, RATE)
    assert len(blocks_seen) > 3
    assert all(stem.shape == wave.shape for stem in stems.values())


def test_arrays_equal_files(tmp_path: Path) -> None:
    """Property: the same song gives the same stems, from memory and from disk."""
    wave = noise(70000)
    session = make_session(tmp_path / "out")
    stems = read(session.separate_file(write(tmp_path / "in", wave)).outputs)
    for name, stem in session.separate_array(wave.astype(np.float64), RATE).items():
        np.testing.assert_array_equal(stem, stems[name])


@pytest.mark.parametrize(
    ("wave", "sentence"),
    [
        (np.zeros(9), r"float64 of shape \(9,\)\. Give floats"),
        (np.zeros((9, 2), int), "int64"),
        (np.zeros((9, 0)), r"shape \(9, 0\)"),
        (np.zeros((0, 2)), "has no samples"),
        (np.zeros((2, 8000)), r"shape \(2, 8000\), and so 8000 channels\. Give .* wave\.T"),
        (np.full((9, 2), np.nan), r"NaN or infinity at 0\.00 s"),
    ],
)
def test_invalid_arrays_are_refused(tmp_path: Path, wave: np.ndarray, sentence: str) -> None:
    with pytest.raises(DecodeError, match=sentence):
        make_session(tmp_path).separate_array(wave, RATE)


@pytest.mark.parametrize("rate", [0, -44100, 44100.5, float("nan"), float("inf")])
def test_invalid_sample_rates_are_refused(tmp_path: Path, rate: float) -> None:
    with pytest.raises(DecodeError, match=f"The sample rate is {rate}. Give Hz"):
        make_session(tmp_path).separate_array(noise(9), rate)


def test_threads_share_one_session(tmp_path: Path) -> None:
    """Property: songs separated in parallel are the same as one after the other."""
    songs = [write(tmp_path / "in", noise(3000 + n, seed=n), name=f"{n}.wav") for n in range(6)]
    together = make_session(tmp_path / "together", Scaling(stems=TWO))
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(together.separate_file, songs))
    alone = make_session(tmp_path / "alone", Scaling(stems=TWO))
    for song, result in zip(songs, results, strict=True):
        expected = read(alone.separate_file(song).outputs)
        for name, stem in read(result.outputs).items():
            np.testing.assert_array_equal(stem, expected[name])


@pytest.mark.parametrize("jobs", [1, 2])
def test_jobs_change_nothing_in_the_stems(tmp_path: Path, jobs: int) -> None:
    song = write(tmp_path / "in", noise(3000))
    options = Options(model=("net",), output=str(tmp_path / "out"), device="cpu")
    session = Session(options, jobs=jobs, load=lambda name: LoadedModel(name, Scaling(stems=TWO)))
    stems = read(session.separate_file(song).outputs)
    expected = read(
        make_session(tmp_path / "alone", Scaling(stems=TWO)).separate_file(song).outputs
    )
    for name, stem in stems.items():
        np.testing.assert_array_equal(stem, expected[name])
    assert session.network_seconds > 0


def test_a_missing_device_is_reported_before_loading(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="CUDA"):
        _ = Session(Options(device="cuda:77"), load=lambda name: LoadedModel(name, Stub())).stems


def test_a_song_never_replaces_itself(tmp_path: Path) -> None:
    song = write(tmp_path / "in", noise(100), name="vocals.wav")
    session = make_session(tmp_path / "in", filename="{stem}.{ext}", existing="overwrite")
    with pytest.raises(OutputError, match="would replace the song itself"):
        session.separate_file(song)


def test_settings_without_a_track_match_old_journals(tmp_path: Path) -> None:
    """Otherwise an update would redo every stem of a library."""
    settings = make_session(tmp_path).settings
    assert "track" not in settings
    assert make_session(tmp_path, track=2).settings == {**settings, "track": 2}

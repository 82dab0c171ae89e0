"""Networks that receive songs normalized to a peak of 1 over the whole song.

Property: a song ten times quieter gives stems ten times quieter. The stub networks' output depends
on the level of their input, so a wrong level gives a wrong stem.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.errors import DecodeError
from stemcli.audio.reader import open_audio
from stemcli.batch.library import LibrarySong
from stemcli.batch.run import separate_songs
from stemcli.engine.events import Event, Progress
from stemcli.engine.level import LevelMeter, SongLevel, measure
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from stemcli.engine.overlap_add import Block
from stemcli.engine.session import Session
from stemcli.engine.stream import SeparationStream
from tests.stemcli.engine.stubs import Levelled, Scaling, Stub, ensemble, noise, stream

RATE = 8000
TWO = ("vocals", "band")


def make_session(out: Path, *networks: Stub, on_event: Any = None, **options: Any) -> Session:
    models = {f"net{number}": network for number, network in enumerate(networks)}
    chosen = Options(model=tuple(models), output=str(out), device="cpu", **options)
    return Session(chosen, on_event, load=lambda name: LoadedModel(name, models[name]))


def write(path: Path, wave: Block) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, RATE, "FLOAT")
    return path


def read(outputs: dict[str, Path]) -> Block:
    return np.stack([soundfile.read(path, dtype="float32")[0] for path in outputs.values()])


@pytest.fixture
def decoded_paths(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths passed to ``open_audio``, repeats included."""
    songs: list[Path] = []

    def open_and_record(path: Path, **options: Any) -> Any:
        songs.append(path)
        return open_audio(path, **options)

    monkeypatch.setattr("stemcli.engine.song.open_audio", open_and_record)
    return songs


@given(st.floats(0.001, 20.0), st.integers(1, 300), st.integers(1, 2))
def test_stems_scale_with_the_song(level: float, frames: int, channels: int) -> None:
    """Property: ``separate(level * song) == level * separate(song)``, and the stems add up."""
    song = noise(frames, channels)
    session = make_session(Path(), Levelled(stems=("vocals",)))
    stem = session.separate_array(song, RATE)["vocals"]
    other = session.separate_array(song * np.float32(level), RATE)["vocals"]
    np.testing.assert_allclose(other, level * stem, atol=2e-6 * level, rtol=1e-5)


def test_one_chunk_by_hand() -> None:
    """One chunk of 64 samples in a louder song: peak 0.25 of 0.5, so the stem is half of it."""
    song = np.full((640, 1), 0.25, np.float32)
    song[600:] = 0.5
    stem = make_session(Path(), Levelled(stems=("a", "b"))).separate_array(song, RATE)["a"]
    raw = stream(
        SeparationStream(ensemble(LoadedModel("net", Levelled())), RATE, 1, SongLevel(0.5)), song
    )[:, 0]
    np.testing.assert_allclose(raw[200:400], 0.25 * 0.5 * 0.1, atol=1e-7)
    np.testing.assert_allclose(stem[200:400] - raw[200:400], 0.25 * (1 - 0.5 * 0.3) / 2, atol=1e-7)


def test_other_members_receive_the_song_unscaled() -> None:
    """By hand: the scaling member gives the same beside a normalized member as alone."""
    song = noise(500)
    plain, levelled = Scaling(stems=TWO[:1]), Levelled(stems=TWO[:1])
    both = make_session(Path(), plain, levelled).separate_array(song, RATE)["vocals"]
    single = [
        make_session(Path(), each).separate_array(song, RATE)["vocals"]
        for each in (plain, levelled)
    ]
    np.testing.assert_allclose(both, (single[0] + single[1]) / 2, atol=1e-7)
    np.testing.assert_allclose(single[0], 0.1 * song, atol=1e-7)


def test_a_file_is_measured_like_a_waveform(tmp_path: Path, decoded_paths: list[Path]) -> None:
    song = write(tmp_path / "in/song.wav", noise(9000))
    session = make_session(tmp_path / "out", Levelled(stems=TWO))
    stems = read(session.separate_file(song).outputs)
    assert decoded_paths == [song, song]
    np.testing.assert_array_equal(stems, [*session.separate_array(noise(9000), RATE).values()])


def test_a_song_is_measured_only_if_a_network_needs_it(
    tmp_path: Path, decoded_paths: list[Path]
) -> None:
    song = write(tmp_path / "in/song.wav", noise(900))
    events: list[Event] = []
    make_session(tmp_path / "out", Scaling(stems=TWO), on_event=events.append).separate_file(song)
    assert decoded_paths == [song]
    stages = {event.stage for event in events if isinstance(event, Progress)}
    assert stages == {"separating"}


def test_an_excerpt_is_normalized_by_its_own_peak(tmp_path: Path) -> None:
    """Property: --start and --end give the same stems as a file cut at these times."""
    wave = noise(9000)
    wave[100] = 4.0
    full = write(tmp_path / "in/whole.wav", wave)
    part = write(tmp_path / "in/part.wav", wave[4000:6000])
    cut = make_session(tmp_path / "out", Levelled(stems=TWO), start=0.5, end=0.75)
    stems = read(cut.separate_file(full).outputs)
    expected = read(make_session(tmp_path / "out", Levelled(stems=TWO)).separate_file(part).outputs)
    np.testing.assert_array_equal(stems, expected)
    np.testing.assert_array_equal(stems, [*cut.separate_array(wave, RATE).values()])


def test_silence_stays_silence(tmp_path: Path) -> None:
    song = write(tmp_path / "in/song.wav", np.zeros((3000, 2), np.float32))
    session = make_session(tmp_path / "out", Levelled(stems=TWO))
    assert not read(session.separate_file(song).outputs).any()
    assert not np.stack([*session.separate_array(noise(90) * 0, RATE).values()]).any()


def test_the_quietest_possible_song_gives_finite_stems(tmp_path: Path) -> None:
    """The inverse of the smallest positive float32 overflows."""
    song = np.zeros((300, 1), np.float32)
    song[100] = np.finfo(np.float32).smallest_subnormal
    for stem in make_session(tmp_path, Levelled(stems=TWO)).separate_array(song, RATE).values():
        assert np.isfinite(stem).all()


def test_measuring_is_reported_as_progress(tmp_path: Path) -> None:
    """By hand: measuring precedes the start and ends at the length of the song."""
    events: list[Event] = []
    song = write(tmp_path / "in/song.wav", noise(8000))
    make_session(tmp_path / "out", Levelled(stems=TWO), on_event=events.append).separate_file(song)
    names = [event.to_dict().get("stage", event.to_dict()["event"]) for event in events]
    assert list(dict.fromkeys(names)) == [
        "model_loaded",
        "measuring",
        "track_started",
        "separating",
        "track_finished",
    ]
    measured = [e for e in events if isinstance(e, Progress) and e.stage == "measuring"]
    assert (measured[-1].seconds_done, measured[-1].seconds_total) == (1.0, 1.0)


def test_nan_is_found_while_measuring(tmp_path: Path) -> None:
    wave = noise(3000)
    wave[1000] = np.nan
    song = write(tmp_path / "in/song.wav", wave)
    with pytest.raises(DecodeError, match=r"NaN or infinity at 0\.12 s"):
        make_session(tmp_path / "out", Levelled(stems=TWO)).separate_file(song)
    assert not (tmp_path / "out").exists()


def test_an_interrupt_stops_measuring(tmp_path: Path) -> None:
    progress: list[float] = []

    def interrupt_at_progress(event: Event) -> None:
        if isinstance(event, Progress):
            progress.append(event.seconds_done)
            session.interrupt()

    song = write(tmp_path / "in/song.wav", noise(200_000))
    session = make_session(tmp_path / "out", Levelled(stems=TWO), on_event=interrupt_at_progress)
    with pytest.raises(KeyboardInterrupt):
        session.separate_file(song)
    assert len(progress) == 1
    assert progress[0] < 200_000 / RATE
    assert not (tmp_path / "out").exists()


@contextmanager
def zoo_of(monkeypatch: pytest.MonkeyPatch, separator: Stub) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(
            "stemcli.engine.models.load_model",
            lambda name: LoadedModel(name, separator, sha256="1"),
        )
        yield


@pytest.mark.parametrize("address", ["", "memory://level/in"])
def test_batches_and_urls(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Property: ten times the quiet song's stems are the loud song's stems, also from a URL."""
    import fsspec

    from stemcli.remote_path import as_path

    songs = []
    for name, level in (("loud", 1.0), ("quiet", 0.1)):
        path = write(tmp_path / f"in/{name}.wav", noise(5000) * np.float32(level))
        songs.append(LibrarySong(path))
        if address:
            fsspec.filesystem("memory").pipe(f"/level/in/{name}.wav", path.read_bytes())
            songs[-1] = LibrarySong(as_path(f"{address}/{name}.wav"))
    options = Options(model=("net",), output=str(tmp_path / "out"), device="cpu")
    with zoo_of(monkeypatch, Levelled(stems=TWO)):
        report = separate_songs(songs, options, on_event=lambda event: None)
    assert [track.outcome for track in report.tracks] == ["done", "done"]
    loud, quiet = (
        read({stem: tmp_path / f"out/{name}/{stem}.wav" for stem in TWO})
        for name in ("loud", "quiet")
    )
    np.testing.assert_allclose(10 * quiet, loud, atol=1e-6)
    assert np.abs(loud).max() > 0.2


class Standardized(Stub):
    """A network that returns its input, at a mean of 0 and a deviation of 1."""

    level = "standard"


@given(st.integers(1, 5000), st.integers(1, 3), st.floats(-0.2, 0.2), st.integers(1, 700))
def test_blocks_have_the_statistics_of_the_song(
    frames: int, channels: int, offset: float, size: int
) -> None:
    """Reference: NumPy over the whole song."""
    song = noise(frames, channels) + np.float32(offset)
    meter = LevelMeter()
    for start in range(0, frames, size):
        meter.add(song[start : start + size])
    mono = song.mean(axis=1, dtype=np.float64)
    expected = (np.abs(song).max(), mono.mean(), mono.std())
    found = (meter.level.peak, meter.level.mean, meter.level.deviation)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert measure(song).peak == meter.level.peak


def test_a_network_receives_a_standardized_song_and_the_stems_are_brought_back() -> None:
    """Property: the input has mean 0 and deviation 1, and an identity network gives the song."""
    received = []

    class Listening(Standardized):
        grid = "htdemucs"  # chunks without reflections

        def estimate(self, mixture: Any, stem: int) -> Any:
            received.append(mixture.numpy().copy())
            return mixture

    song = noise(640, 2) * np.float32(0.3) + np.float32(0.1)
    session = make_session(Path(), Listening(channels=2), overlap=0.0)
    stem = session.separate_array(song, RATE)["vocals"]
    np.testing.assert_allclose(stem, song, atol=1e-6)
    mono = np.concatenate([*np.concatenate(received)], axis=1).mean(axis=0)
    np.testing.assert_allclose((mono.mean(), mono.std()), (0, 1), atol=1e-5)


def test_a_silent_song_stays_silent() -> None:
    """A deviation of 0 is not a divisor."""
    silence = np.zeros((300, 2), np.float32)
    assert not make_session(Path(), Standardized()).separate_array(silence, RATE)["vocals"].any()

"""Networks that hear a song levelled: brought to a peak of 1 over the whole of it.

Truth: a law, that of a song and of the same song ten times quieter; and stand-in networks whose
answer depends on the level, so that one who hears another level gives another stem.
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
from stemcli.engine.models import LoadedModel
from stemcli.engine.options import Options
from stemcli.engine.overlap_add import Block
from stemcli.engine.session import Session
from stemcli.engine.stream import SeparationStream
from tests.stemcli.engine.stubs import Levelled, Scaling, Stub, ensemble, noise, stream

RATE = 8000
TWO = ("vocals", "band")


def session(out: Path, *networks: Stub, on_event: Any = None, **options: Any) -> Session:
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
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every song that is decoded, as often as it is."""
    songs: list[Path] = []

    def open_and_note(path: Path, **options: Any) -> Any:
        songs.append(path)
        return open_audio(path, **options)

    monkeypatch.setattr("stemcli.engine.song.open_audio", open_and_note)
    return songs


@given(st.floats(0.001, 20.0), st.integers(1, 300), st.integers(1, 2))
def test_the_level_of_a_song_is_that_of_its_stems(level: float, frames: int, channels: int) -> None:
    """Law: ``separate(level * song) == level * separate(song)``, and a full set adds up."""
    song = noise(frames, channels)
    made = session(Path(), Levelled(stems=("vocals",)))
    stem = made.separate_array(song, RATE)["vocals"]
    other = made.separate_array(song * np.float32(level), RATE)["vocals"]
    np.testing.assert_allclose(other, level * stem, atol=2e-6 * level, rtol=1e-5)


def test_by_hand() -> None:
    """One chunk of 64 samples in the middle of a loud song: peak 0.25 of 0.5, so 0.5 of itself."""
    song = np.full((640, 1), 0.25, np.float32)
    song[600:] = 0.5
    stem = session(Path(), Levelled(stems=("a", "b"))).separate_array(song, RATE)["a"]
    raw = stream(
        SeparationStream(ensemble(LoadedModel("net", Levelled())), RATE, 1, peak=0.5), song
    )[:, 0]
    np.testing.assert_allclose(raw[200:400], 0.25 * 0.5 * 0.1, atol=1e-7)
    np.testing.assert_allclose(stem[200:400] - raw[200:400], 0.25 * (1 - 0.5 * 0.3) / 2, atol=1e-7)


def test_other_members_hear_the_song_as_it_is() -> None:
    """By hand: a member that scales is the same beside one that is levelled as alone."""
    song = noise(500)
    plain, levelled = Scaling(stems=TWO[:1]), Levelled(stems=TWO[:1])
    both = session(Path(), plain, levelled).separate_array(song, RATE)["vocals"]
    alone = [
        session(Path(), each).separate_array(song, RATE)["vocals"] for each in (plain, levelled)
    ]
    np.testing.assert_allclose(both, (alone[0] + alone[1]) / 2, atol=1e-7)
    np.testing.assert_allclose(alone[0], 0.1 * song, atol=1e-7)


def test_a_file_is_measured_like_a_waveform(tmp_path: Path, opened: list[Path]) -> None:
    song = write(tmp_path / "in/song.wav", noise(9000))
    made = session(tmp_path / "out", Levelled(stems=TWO))
    stems = read(made.separate_file(song).outputs)
    assert opened == [song, song]
    np.testing.assert_array_equal(stems, [*made.separate_array(noise(9000), RATE).values()])


def test_a_song_is_measured_only_for_who_needs_it(tmp_path: Path, opened: list[Path]) -> None:
    song = write(tmp_path / "in/song.wav", noise(900))
    told: list[Event] = []
    session(tmp_path / "out", Scaling(stems=TWO), on_event=told.append).separate_file(song)
    assert opened == [song]
    stages = {event.stage for event in told if isinstance(event, Progress)}
    assert stages == {"separating"}


def test_what_is_cut_out_has_a_level_of_its_own(tmp_path: Path) -> None:
    """Law: a part by --start and --end is the file that was cut there, as for any network."""
    wave = noise(9000)
    wave[100] = 4.0
    whole = write(tmp_path / "in/whole.wav", wave)
    part = write(tmp_path / "in/part.wav", wave[4000:6000])
    cut = session(tmp_path / "out", Levelled(stems=TWO), start=0.5, end=0.75)
    stems = read(cut.separate_file(whole).outputs)
    expected = read(session(tmp_path / "out", Levelled(stems=TWO)).separate_file(part).outputs)
    np.testing.assert_array_equal(stems, expected)
    np.testing.assert_array_equal(stems, [*cut.separate_array(wave, RATE).values()])


def test_silence_stays_silence(tmp_path: Path) -> None:
    song = write(tmp_path / "in/song.wav", np.zeros((3000, 2), np.float32))
    made = session(tmp_path / "out", Levelled(stems=TWO))
    assert not read(made.separate_file(song).outputs).any()
    assert not np.stack([*made.separate_array(noise(90) * 0, RATE).values()]).any()


def test_the_faintest_song_there_can_be(tmp_path: Path) -> None:
    """The smallest number above 0 has an inverse that float32 does not hold."""
    song = np.zeros((300, 1), np.float32)
    song[100] = np.finfo(np.float32).smallest_subnormal
    for stem in session(tmp_path, Levelled(stems=TWO)).separate_array(song, RATE).values():
        assert np.isfinite(stem).all()


def test_events(tmp_path: Path) -> None:
    """By hand: measured up to its end, then started; the last word of measuring is its length."""
    told: list[Event] = []
    song = write(tmp_path / "in/song.wav", noise(8000))
    session(tmp_path / "out", Levelled(stems=TWO), on_event=told.append).separate_file(song)
    names = [event.to_dict().get("stage", event.to_dict()["event"]) for event in told]
    assert list(dict.fromkeys(names)) == [
        "model_loaded",
        "measuring",
        "track_started",
        "separating",
        "track_finished",
    ]
    measured = [e for e in told if isinstance(e, Progress) and e.stage == "measuring"]
    assert (measured[-1].seconds_done, measured[-1].seconds_total) == (1.0, 1.0)


def test_a_song_that_is_no_song_is_named_while_it_is_measured(tmp_path: Path) -> None:
    wave = noise(3000)
    wave[1000] = np.nan
    song = write(tmp_path / "in/song.wav", wave)
    with pytest.raises(DecodeError, match=r"NaN or infinity at 0\.12 s"):
        session(tmp_path / "out", Levelled(stems=TWO)).separate_file(song)
    assert not (tmp_path / "out").exists()


def test_an_interrupt_does_not_wait_for_the_end_of_measuring(tmp_path: Path) -> None:
    heard: list[float] = []

    def hear(event: Event) -> None:
        if isinstance(event, Progress):
            heard.append(event.seconds_done)
            made.interrupt()

    song = write(tmp_path / "in/song.wav", noise(200_000))
    made = session(tmp_path / "out", Levelled(stems=TWO), on_event=hear)
    with pytest.raises(KeyboardInterrupt):
        made.separate_file(song)
    assert len(heard) == 1
    assert heard[0] < 200_000 / RATE
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
    """Law: the stems of the quiet song times ten are those of the loud one, behind a URL too."""
    import fsspec

    from stemcli.remote_path import as_path

    songs = []
    for name, level in (("loud", 1.0), ("quiet", 0.1)):
        made = write(tmp_path / f"in/{name}.wav", noise(5000) * np.float32(level))
        songs.append(LibrarySong(made))
        if address:
            fsspec.filesystem("memory").pipe(f"/level/in/{name}.wav", made.read_bytes())
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

"""``picture=True`` draws the waves that are written; checked by the levels that are drawn."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure
from PIL import Image

import stemcli.plots
from model_zoo.errors import OutputError
from stemcli.audio.encoders import WavSink
from stemcli.engine import picture
from stemcli.engine.events import Event, TrackFinished
from stemcli.engine.song import Result
from stemcli.spectrogram import Spectrogram
from tests.stemcli.engine.sessions import RATE, TWO, Louder, files, make_session, write
from tests.stemcli.engine.stubs import Stub, noise
from tests.stemcli.spectra import measured, tone

FOUR = ("vocals", "drums", "bass", "other")
DB_OF_3 = 20 * np.log10(3)


class Panels:
    """What was drawn: the level of every panel, by label."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.levels: dict[str, np.ndarray] = {}
        self.columns: set[int] = set()
        draw = picture.draw_song

        def spy(title: str, panels: Sequence[tuple[str, Spectrogram]], *rest: Any) -> Figure:
            self.levels = {label: spectrogram.levels() for label, spectrogram in panels}
            self.columns = {level.shape[1] for level in self.levels.values()}
            return draw(title, panels, *rest)

        monkeypatch.setattr(picture, "draw_song", spy)

    def loudest(self, label: str) -> float:
        return float(self.levels[label].max())


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> Panels:
    return Panels(monkeypatch)


def separated(tmp_path: Path, wave: np.ndarray, stub: Stub | None = None, **options: Any) -> Result:
    song = write(tmp_path / "in", wave, "FLOAT")
    session = make_session(tmp_path / "out", stub, picture=True, **options)
    return session.separate_file(song)


def test_the_picture_lies_beside_the_stems(tmp_path: Path, panels: Panels) -> None:
    events: list[Event] = []
    song = write(tmp_path / "in", noise(5001))
    stub = Stub(stems=FOUR)
    session = make_session(tmp_path / "out", stub, events.append, picture=True)
    result = session.separate_file(song)
    path = tmp_path / "out/song/spectrograms.png"
    assert result.picture == path
    assert set(result.outputs) == set(FOUR)
    assert files(tmp_path / "out") == sorted(
        ["song", *(f"song/{stem}.wav" for stem in FOUR), "song/spectrograms.png"]
    )
    (end,) = (event for event in events if isinstance(event, TrackFinished))
    assert (end.picture, set(end.outputs)) == (str(path), set(FOUR))
    assert list(panels.levels) == ["mixture", *FOUR]
    assert len(panels.columns) == 1
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (1600, 80 + 5 * 240))


def test_without_the_option_there_is_no_picture(tmp_path: Path) -> None:
    events: list[Event] = []
    song = write(tmp_path / "in", noise(500))
    result = make_session(tmp_path / "out", None, events.append).separate_file(song)
    assert result.picture is None
    assert [event.picture for event in events if isinstance(event, TrackFinished)] == [None]
    assert files(tmp_path / "out") == ["song", "song/band.wav", "song/vocals.wav"]


@pytest.mark.parametrize(
    ("options", "vocals"),
    [
        ({"depth": "16"}, 0.0),  # all stems are lowered until the loudest is at full scale
        ({"depth": "32f"}, 0.5 * 3),
        ({"depth": "32f", "clip_mode": "none"}, 0.5 * 3),
    ],
)
def test_stems_are_drawn_as_loud_as_they_are_written(
    tmp_path: Path, panels: Panels, options: dict[str, Any], vocals: float
) -> None:
    """Stems of 3 and -2 times a mixture at half of full scale."""
    result = separated(tmp_path, 0.5 * tone(1000), Louder(stems=TWO), **options)
    written = soundfile.read(result.outputs["vocals"])[0]
    gain = np.abs(written).max() / 0.5
    assert gain == pytest.approx(2.0 if not vocals else 3.0, rel=0.01)
    mixture = panels.loudest("mixture")
    assert mixture == pytest.approx(measured(0.5 * tone(1000)).levels().max(), abs=0.01)
    assert panels.loudest("vocals") - mixture == pytest.approx(20 * np.log10(gain), abs=0.1)
    assert panels.loudest("vocals") - panels.loudest("band") == pytest.approx(
        20 * np.log10(3 / 2), abs=0.05
    )


def test_cut_peaks_are_drawn_cut(tmp_path: Path, panels: Panels) -> None:
    """A sine that is cut has overtones; the third is far above the noise."""
    result = separated(tmp_path, 0.5 * tone(500), Louder(stems=TWO), depth="16", clip_mode="clamp")
    written = soundfile.read(result.outputs["vocals"], dtype="float32", always_2d=True)[0]
    expected = measured(written).levels()
    audible = expected > -60
    np.testing.assert_allclose(panels.levels["vocals"][audible], expected[audible], atol=0.1)
    assert panels.loudest("vocals") - panels.loudest("mixture") < DB_OF_3 - 1


@pytest.mark.parametrize("options", [{}, {"start": 0.25, "end": 0.5}, {"shifts": 2}])
def test_the_picture_shows_the_part_that_is_written(
    tmp_path: Path, panels: Panels, options: dict[str, Any]
) -> None:
    result = separated(tmp_path, noise(RATE, 1), **options)
    for label in TWO:
        wave = soundfile.read(result.outputs[label], dtype="float32", always_2d=True)[0]
        np.testing.assert_allclose(panels.levels[label], measured(wave).levels(), atol=0.1)


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({"stems": ("drums", "vocals")}, ["drums", "vocals"]),
        ({"two_stems": "drums"}, ["drums", "no_drums"]),
    ],
)
def test_the_panels_are_the_stems_that_are_written(
    tmp_path: Path, panels: Panels, options: dict[str, Any], labels: list[str]
) -> None:
    separated(tmp_path, noise(500), Stub(stems=FOUR), **options)
    assert list(panels.levels) == ["mixture", *labels]


@pytest.mark.parametrize("frames", [1, 10, 5000])
@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("rate", [8000, 192_000])
def test_any_song_has_a_picture(tmp_path: Path, frames: int, channels: int, rate: int) -> None:
    """Warnings, as of the logarithm of silence, are errors in these tests."""
    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros((frames, channels)), rate, "FLOAT")
    result = make_session(tmp_path / "out", picture=True).separate_file(song)
    assert result.picture is not None
    with Image.open(result.picture) as image:
        image.load()


@pytest.mark.parametrize("form", ["flac", "mp3"])
def test_formats_with_other_rates_and_integers(tmp_path: Path, panels: Panels, form: str) -> None:
    """The picture has the song's rate, also if mp3 must be written at another."""
    song = tmp_path / "song.wav"
    soundfile.write(song, noise(20_000), 96_000, "PCM_16")
    result = make_session(tmp_path / "out", format=form, picture=True).separate_file(song)
    assert result.picture == tmp_path / "out/song/spectrograms.png"
    assert len(panels.columns) == 1


def test_songs_in_several_threads_have_the_pictures_of_one_thread(tmp_path: Path) -> None:
    songs = [write(tmp_path / "in", noise(4000, seed=n), name=f"{n}.wav") for n in range(4)]

    def pictures(folder: str, threads: int) -> list[bytes]:
        session = make_session(tmp_path / folder, picture=True)
        with ThreadPoolExecutor(threads) as pool:
            results = list(pool.map(session.separate_file, songs))
        return [result.picture.read_bytes() for result in results if result.picture]

    assert pictures("a", 4) == pictures("b", 1)


def fail(*_: Any) -> Any:
    raise OSError(28, "No space left on device")


def break_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WavSink, "close", fail)


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_bytes", fail)


def refuse_rename(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture is renamed last, when the stems have their names already."""
    replace = os.replace

    def fail_for_pictures(source: Any, target: Any) -> None:
        fail() if Path(target).suffix == ".png" else replace(source, target)

    monkeypatch.setattr(os, "replace", fail_for_pictures)


def break_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stemcli.plots, "FigureCanvasAgg", fail)


@pytest.mark.parametrize("damage", [break_encoder, fill_disk, refuse_rename, break_drawing])
def test_after_a_failure_no_file_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Any
) -> None:
    damage(monkeypatch)
    with pytest.raises((OutputError, OSError), match="No space left"):
        separated(tmp_path, noise(500), filename="{stem}/{track}.{ext}")
    assert not (tmp_path / "out").exists()


def test_an_existing_picture_is_refused_replaced_or_skipped(tmp_path: Path) -> None:
    path = tmp_path / "out/song/spectrograms.png"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"spectrograms\.png already exists"):
        separated(tmp_path, noise(500))
    assert files(tmp_path / "out") == ["song", "song/spectrograms.png"]
    assert path.read_text() == "mine"
    assert not separated(tmp_path, noise(500), existing="skip").skipped  # the stems are missing
    assert path.read_bytes()[:4] == b"\x89PNG"
    skipped = separated(tmp_path, noise(500), existing="skip")
    assert (skipped.skipped, skipped.picture) == (True, path)
    path.unlink()
    assert not separated(tmp_path, noise(500), existing="skip").skipped
    assert path.exists()


def test_without_the_option_a_picture_is_left_alone(tmp_path: Path) -> None:
    result = separated(tmp_path, noise(500))
    assert result.picture is not None
    before = result.picture.read_bytes()
    song = tmp_path / "in/song.wav"
    make_session(tmp_path / "out", existing="overwrite").separate_file(song)
    assert result.picture.read_bytes() == before


def test_a_folder_in_the_place_of_the_picture_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "out/song/spectrograms.png").mkdir(parents=True)
    with pytest.raises(OutputError, match="is a folder, not a file"):
        separated(tmp_path, noise(500), existing="overwrite")


def test_a_stem_called_spectrograms_has_another_file(tmp_path: Path) -> None:
    result = separated(tmp_path, noise(500), Stub(stems=("spectrograms", "mixture")))
    assert result.outputs["spectrograms"].name == "spectrograms.wav"
    assert result.picture == tmp_path / "out/song/spectrograms.png"
    assert soundfile.info(result.outputs["spectrograms"]).frames == 500

"""``picture=True`` draws the waves that are written; checked by the levels and pixels drawn."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import stemcli.plots
from model_zoo.errors import OutputError
from stemcli.audio.encoders import WavSink
from stemcli.engine import picture
from stemcli.engine.events import Event, TrackFinished
from stemcli.engine.picture import draw_song
from stemcli.engine.song import Result
from stemcli.plots import COLORMAP, FAINTEST_DB, RANGE_DB, to_png
from stemcli.spectrogram import Spectrogram
from tests.stemcli.engine.stubs import Stub, noise
from tests.stemcli.engine.test_session import RATE, TWO, Louder, files, make_session, write
from tests.stemcli.test_spectrogram import measured, tone

FOUR = ("vocals", "drums", "bass", "other")
DB_OF_3 = 20 * np.log10(3)


def drawn(**waves: np.ndarray) -> Figure:
    """The picture of waves of one length."""
    (frames,) = {len(wave) for wave in waves.values()}
    panels = [(name, measured(wave)) for name, wave in waves.items()]
    return draw_song("song", panels, frames, RATE)


def color_at(figure: Figure, panel: int, seconds: float, hz: float) -> np.ndarray:
    """The lightest color around a point of a panel, in the rendered image."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    place = figure.axes[panel].transData.transform((seconds, np.log10(hz)))
    x, y = round(place[0]), len(pixels) - round(place[1])
    return max(pixels[y - 3 : y + 3, x], key=np.sum)


def color(share: float) -> np.ndarray:
    return 255 * np.array(colormaps[COLORMAP](share)[:3])


def test_all_panels_share_the_scale_of_the_loudest() -> None:
    """40 dB below the top of a range of 80 is its middle."""
    figure = drawn(
        mixture=tone(1000), vocals=0.01 * tone(1000), other=np.zeros((RATE, 1), np.float32)
    )
    *panels, bar = figure.axes
    assert [axes.get_title("left") for axes in panels] == ["mixture", "vocals", "other"]
    top = measured(tone(1000)).levels().max()
    assert {axes.images[0].get_clim() for axes in panels} == {(top - RANGE_DB, top)}
    assert bar.get_ylabel() == "dBFS"
    for panel, share in enumerate((1.0, 0.5, 0.0)):
        assert color_at(figure, panel, 0.5, 1000) == pytest.approx(color(share), abs=30)
        assert color_at(figure, panel, 0.5, 3700) == pytest.approx(color(0.0), abs=1)


def test_low_frequencies_are_below_and_early_times_left() -> None:
    early = tone(200) * (np.arange(RATE) < RATE / 2)[:, None]
    figure = drawn(mixture=early)
    bright = color_at(figure, 0, 0.25, 200).sum()
    assert bright > 2 * color_at(figure, 0, 0.75, 200).sum()
    assert bright > 2 * color_at(figure, 0, 0.25, 1500).sum()
    _, y = figure.axes[0].transData.transform([(0, 2), (0, 3)]).T
    assert y[1] > y[0]


def test_silence_is_dark() -> None:
    figure = drawn(mixture=np.zeros((RATE, 1), np.float32))
    assert figure.axes[0].images[0].get_clim() == (FAINTEST_DB - RANGE_DB, FAINTEST_DB)
    assert color_at(figure, 0, 0.5, 1000) == pytest.approx(color(0.0), abs=1)


def labels(axis: Any) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]


@pytest.mark.parametrize(
    ("seconds", "first", "last"),
    [
        (10 / RATE, "0:00.000", "0:00.001"),
        (0.9, "0:00.0", "0:00.8"),
        (12, "0:00", "0:11"),
        (200, "0:00", "3:00"),
        (4000, "0:00", "1:00:00"),
    ],
)
def test_times_are_minutes_and_seconds(seconds: float, first: str, last: str) -> None:
    """Labels are at round times: the one in the middle of the axis is half the last one."""
    spectrogram = Spectrogram(RATE, 1)
    spectrogram.finish()
    figure = draw_song("song", [("mixture", spectrogram)], round(seconds * RATE), RATE)
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    assert (labels(axes.xaxis)[0], labels(axes.xaxis)[-1]) == (first, last)
    assert len(labels(axes.xaxis)) <= 12
    assert axes.get_xlim() == pytest.approx((0, seconds))


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (100, []),
        (8000, ["100 Hz", "1 kHz"]),
        (44_100, ["100 Hz", "1 kHz", "10 kHz"]),
        (192_000, ["100 Hz", "1 kHz", "10 kHz"]),
    ],
)
def test_frequencies_are_labelled_up_to_half_the_rate(rate: int, expected: list[str]) -> None:
    panel = ("mixture", measured(noise(2000, 1), rate))
    figure = draw_song("song", [panel], 2000, rate)
    axis = figure.axes[0].yaxis
    assert labels(axis) == expected
    low, high = 10 ** np.array(figure.axes[0].get_ylim())
    assert (low, high) == pytest.approx((min(30, rate / 16), rate / 2))


NAMES = [
    "日本語の歌",
    "노래 🎵👩‍👩‍👧 العربية",
    "$x^2$ $ \\frac{ $unclosed",
    "\x1b[31mred\r\nline\t\x00",
    "\udcff\ud800 bytes",
    "",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_drawn_as_text_without_warnings(name: str) -> None:
    """Warnings are errors in these tests."""
    panel = (name, measured(tone(100)))
    figure = draw_song(name, [panel], RATE, RATE)
    assert to_png(figure).startswith(b"\x89PNG")
    shown = figure.get_suptitle()
    assert shown == figure.axes[0].get_title("left")
    assert not set(shown) & {"\x1b", "\r", "\n", "\x00", "\udcff"}
    assert name.isprintable() <= (shown == name)


def test_a_dollar_is_not_a_formula() -> None:
    """As a formula the dollars would vanish, and the text would be narrower."""
    widths = []
    for title in ("$aa$", "aa"):
        figure = draw_song(title, [("mixture", measured(tone(100)))], RATE, RATE)
        to_png(figure)
        widths.append(figure._suptitle.get_window_extent().width)
    assert widths[0] > 1.5 * widths[1]


@pytest.mark.parametrize("name", ["long " * 200, "W" * 255])
def test_long_names_are_cut_to_the_width(name: str) -> None:
    figure = draw_song(name, [(name, measured(tone(100)))], RATE, RATE)
    to_png(figure)
    for text in (figure._suptitle, figure.axes[0]._left_title):
        assert text.get_text().endswith("…")
        assert 1200 < text.get_window_extent().width < 1600
        assert text.get_window_extent().x1 < 1600


def test_letters_that_the_font_lacks_come_from_installed_fonts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """STIX comes with matplotlib and has hieroglyph-like signs that DejaVu Sans lacks."""
    fonts = ("No Such Font", "STIXGeneral")
    with_stix, without = [], []
    for families, found in ((fonts, with_stix), (("No Such Font",), without)):
        monkeypatch.setattr(stemcli.plots, "FALLBACK_FONTS", families)
        figure = draw_song("\u2a1b \u29d7", [("mixture", measured(tone(100)))], RATE, RATE)
        found.append(to_png(figure))
    assert with_stix != without
    assert caplog.records == []


def test_many_stems_have_lower_panels() -> None:
    panels = [(str(number), measured(tone(100, 0.1))) for number in range(60)]
    figure = draw_song("song", panels, RATE // 10, RATE)
    assert len(figure.axes) == 61
    assert figure.get_size_inches()[1] == pytest.approx(100 + 0.8)


# From here on, songs are separated.


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


def test_pictures_do_not_depend_on_the_settings_of_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = to_png(drawn(mixture=tone(100)))
    with stemcli.plots.mpl.rc_context({"text.usetex": True, "image.cmap": "jet", "font.size": 30}):
        assert to_png(drawn(mixture=tone(100))) == expected
    with Image.open(io.BytesIO(expected)) as image:
        assert image.size == (1600, 320)

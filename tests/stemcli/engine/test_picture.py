"""The drawing of spectrograms, checked by the pixels of the rendered image."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import stemcli.plots
from stemcli.engine.picture import draw_song
from stemcli.plots import COLORMAP, FAINTEST_DB, RANGE_DB, to_png
from stemcli.spectrogram import Spectrogram
from tests.stemcli.engine.sessions import RATE
from tests.stemcli.engine.stubs import noise
from tests.stemcli.spectra import measured, tone


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


def test_pictures_do_not_depend_on_the_settings_of_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = to_png(drawn(mixture=tone(100)))
    with stemcli.plots.mpl.rc_context({"text.usetex": True, "image.cmap": "jet", "font.size": 30}):
        assert to_png(drawn(mixture=tone(100))) == expected
    with Image.open(io.BytesIO(expected)) as image:
        assert image.size == (1600, 320)

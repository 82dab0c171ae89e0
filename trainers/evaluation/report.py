"""The HTML report: charts, spectrograms and excerpts with players."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jinja2 import Environment, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from model_zoo.files import staged
from stemcli.plots import styled, to_png
from stemcli.printable import printable_lines
from trainers.evaluation.folder import MIXTURE, REPORT, SECONDS, Excerpt
from trainers.evaluation.metric_table import METRICS, decibels
from trainers.evaluation.scoring import TrackScores, Wave
from trainers.evaluation.summary import (
    Published,
    Row,
    published_stems,
    published_title,
    song_value,
    stems,
)
from trainers.plots import spectrograms, to_svg

COLOURS = ("#2a6f97", "#e07a1f", "#5a9e4b", "#a94fa0", "#b5352f", "#6b6b6b", "#c3a41c", "#33a9a0")
"""One for each method, in their order; safe for red-green colour blindness."""

Values = Mapping[str, Mapping[str, Sequence[float]]]
"""Of each method and stem, one number a song."""


def boxes(title: str, values: Values, stems: Sequence[str]) -> str:
    """Box plots: for each stem a box for each method.

    Boxes reach from the first to the third quartile with the median in them, whiskers to the last
    song within one and a half times that, further songs are points.

    Returns:
        An SVG.
    """
    with styled():
        figure = Figure((9, 3.2))
        axes = figure.add_subplot()
        width = 0.8 / max(len(values), 1)
        for number, by_stem in enumerate(values.values()):
            places = [index + (number + 0.5) * width - 0.4 for index in range(len(stems))]
            numbers = [_finite(by_stem.get(stem, ())) for stem in stems]
            _draw_boxes(axes, numbers, places, 0.8 * width, _colour(number))
        axes.set_xticks(range(len(stems)), stems)
        axes.set_xlim(-0.5, len(stems) - 0.5)
        axes.set_ylabel("dB")
        axes.set_title(title)
        axes.grid(axis="y")
        _legend(axes, [*values])
        return to_svg(figure)


def curves(title: str, hop: float, values: Mapping[str, Sequence[float]]) -> str:
    """A line for each method over the windows of a song; gaps where there is no score.

    Args:
        title: above it.
        hop: seconds between windows.
        values: of each method, one number a window; a method without any keeps its colour.

    Returns:
        An SVG.
    """
    with styled():
        figure = Figure((9, 2.4))
        axes = figure.add_subplot()
        for number, (method, line) in enumerate(values.items()):
            style = "--" if method == "mixture" else "-"
            seconds = [hop * frame for frame in range(len(line))]
            if seconds:
                name = method.lstrip("_")  # matplotlib leaves others out of legends
                axes.plot(seconds, line, style, color=_colour(number), marker=".", label=name)
        axes.set_xlabel("seconds")
        axes.set_ylabel("SDR in dB")
        axes.set_title(title)
        axes.grid()
        if axes.lines:
            axes.legend(frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.25))
        return to_svg(figure)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _draw_boxes(
    axes: Axes, values: list[list[float]], places: list[float], width: float, colour: str
) -> None:
    drawn = axes.boxplot(
        values,
        positions=places,
        widths=width,
        patch_artist=True,
        manage_ticks=False,
        flierprops={"marker": ".", "markersize": 4, "markeredgecolor": colour},
        medianprops={"color": "black"},
    )
    for box in drawn["boxes"]:
        box.set(facecolor=colour, alpha=0.75, edgecolor=colour)


def _legend(axes: Axes, names: Sequence[str]) -> None:
    patches = [Patch(color=_colour(i), label=name) for i, name in enumerate(names)]
    axes.legend(
        handles=patches, frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0, -0.12)
    )


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if np.isfinite(value)]


MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""In Hz; all that MPEG layer III has."""


def playable(wave: Wave, sample_rate: int) -> str:
    """An address that holds the sound itself: MP3, or FLAC where MP3 cannot be."""
    held = io.BytesIO()
    can = "MP3" in soundfile.available_formats() and sample_rate in MP3_RATES
    form = "MP3" if can else "FLAC"
    soundfile.write(held, wave.clamp(-1, 1).T.numpy(), sample_rate, format=form)
    return address(f"audio/{'mpeg' if form == 'MP3' else 'flac'}", held.getvalue())


def address(kind: str, content: bytes) -> str:
    """A ``data:`` URL (RFC 2397)."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


Scores = Mapping[str, Mapping[str, TrackScores]]


@dataclass(frozen=True)
class Report:
    """What the page is made of.

    Attributes:
        title: its heading.
        subtitle: what was measured on what.
        window: of BSSEval, in seconds.
        rows: a stem by a method each.
        scores: of each method, by song.
        excerpts: audio and spectrograms of songs that have scores.
        published: figures of others for MUSDB18.
        is_musdb18: whether the songs are those the figures are of.
        failures: a sentence for each score that is missing.
        document: what the page holds for programs.
    """

    title: str
    subtitle: str
    window: float
    rows: Sequence[Row]
    scores: Scores
    excerpts: Sequence[Excerpt]
    published: Sequence[Published]
    is_musdb18: bool
    failures: Sequence[str]
    document: Mapping[str, Any]


def _shown(value: Any) -> Any:
    """A text without codes that would turn a line around; markup of the page itself stays."""
    return printable_lines(value) if type(value) is str else value


def write_report(report: Report, folder: Path) -> Path:
    """Write ``report.html``, which needs no other file and no network.

    Raises:
        OutputError: it cannot be written.
    """
    with staged(folder / REPORT) as temporary:
        temporary.write_text(render(report), encoding="utf-8")
    return folder / REPORT


def render(report: Report) -> str:
    """The page as HTML."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_shown
    )
    environment.filters["decibels"] = decibels
    template = files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        title=report.title,
        subtitle=report.subtitle,
        window=f"{report.window:g}",
        failures=report.failures,
        metrics=METRICS,
        rows=sorted(
            report.rows, key=lambda row: [each.stem for each in report.rows].index(row.stem)
        ),
        published=report.published,
        published_title=published_title(report.is_musdb18),
        published_stems=published_stems(report.published, [row.stem for row in report.rows]),
        charts=_charts(report.scores),
        songs=_songs(report.scores),
        seconds=f"{SECONDS:g}",
        pieces=[_piece(piece, report.scores) for piece in report.excerpts],
        document=json.dumps(report.document).replace("<", "\\u003c"),
    )


def _charts(scores: Scores) -> list[tuple[str, str]]:
    """Box plots of every metric, where there are songs to be spread."""
    if max(map(len, scores.values()), default=0) < 2:
        return []
    return [
        (metric.title, boxes(metric.title, _values(scores, metric.key), _names(scores)))
        for metric in METRICS
    ]


def _names(scores: Scores) -> list[str]:
    """Stems with scores, each once."""
    return list(dict.fromkeys(stem for songs in scores.values() for stem in stems(songs)))


def _values(scores: Scores, metric: str) -> dict[str, dict[str, list[float]]]:
    return {
        method: {
            stem: [song_value(found, stem, metric) for found in songs.values()]
            for stem in stems(songs)
        }
        for method, songs in scores.items()
    }


@dataclass(frozen=True)
class SongRow:
    """A stem of a song by a method, with values in dB by the key of the metric."""

    song: str
    stem: str
    method: str
    values: Mapping[str, float]


def _songs(scores: Scores) -> list[SongRow]:
    """Rows of the table of every song, song by song."""
    rows = [
        SongRow(song, stem.name, method, _metrics(found, stem.name))
        for method, songs in scores.items()
        for song, found in songs.items()
        for stem in found.stems
    ]
    return sorted(rows, key=lambda row: (row.song, row.stem))


def _metrics(scores: TrackScores, stem: str) -> dict[str, float]:
    return {metric.key: song_value(scores, stem, metric.key) for metric in METRICS}


def _piece(excerpt: Excerpt, scores: Scores) -> dict[str, Any]:
    """Audio and spectrograms of one song for the template."""
    names = [stem for stem in _names(scores) if stem in excerpt.truth]
    return {
        "song": excerpt.song,
        "start": f"{excerpt.start // 60:.0f}:{excerpt.start % 60:02.0f}",
        "mixture": playable(excerpt.truth[MIXTURE], excerpt.sample_rate),
        "stems": [_stem(excerpt, stem, scores) for stem in names],
    }


def _stem(excerpt: Excerpt, stem: str, scores: Scores) -> dict[str, Any]:
    found = {method: songs.get(excerpt.song) for method, songs in scores.items()}
    hop = next(song.hop for song in found.values() if song)
    makers = [name for name, made in excerpt.estimates.items() if stem in made]
    return {
        "name": stem,
        "curve": curves(
            f"{stem}: SDR (BSSEval v4) over the song",
            hop,
            {method: _frames(song, stem) for method, song in found.items()},
        ),
        "truth": playable(excerpt.truth[stem], excerpt.sample_rate),
        "methods": [_estimate(excerpt, stem, method) for method in makers],
    }


def _frames(scores: TrackScores | None, stem: str) -> Sequence[float]:
    """SDR of every window; none where a stem has no scores."""
    known = scores.stems if scores else ()
    return next((each.frames["SDR"] for each in known if each.name == stem), ())


def _estimate(excerpt: Excerpt, stem: str, method: str) -> dict[str, str]:
    truth, estimate = excerpt.truth[stem], excerpt.estimates[method][stem]
    error, rate = truth - estimate, excerpt.sample_rate
    waves = {"true stem": truth, method: estimate, "error": error}
    panels = {title: wave.numpy() for title, wave in waves.items()}
    return {
        "name": method,
        "estimate": playable(estimate, rate),
        "error": playable(error, rate),
        "picture": address("image/png", to_png(spectrograms(panels, rate, len(panels)))),
    }

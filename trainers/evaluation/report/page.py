"""The page: numbers from the summary, pictures from the scores, sound from the excerpts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from model_zoo.files import staged
from stemcli.printable import printable_lines
from trainers.evaluation.excerpts import MIXTURE, SECONDS, Excerpt
from trainers.evaluation.published import Published, published_stems, published_title
from trainers.evaluation.report.charts import boxes, curves, spectrograms
from trainers.evaluation.report.sound import address, playable
from trainers.evaluation.scores import TrackScores
from trainers.evaluation.shelf import REPORT
from trainers.evaluation.summary import METRICS, Row, decibels, song_value, stems

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
        excerpts: pieces to hear and see, of songs that have scores.
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
    with staged(folder / REPORT) as place:
        place.write_text(render(report), encoding="utf-8")
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
    """A song to hear and see."""
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
    shown = {"true stem": truth, method: estimate, "error": error}
    return {
        "name": method,
        "estimate": playable(estimate, rate),
        "error": playable(error, rate),
        "picture": address("image/png", spectrograms(shown, rate)),
    }

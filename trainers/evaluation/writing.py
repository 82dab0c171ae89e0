"""What an evaluation leaves behind, beside the scores of each song."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_zoo.errors import require_package
from model_zoo.files import staged
from trainers.evaluation.excerpts import Excerpt
from trainers.evaluation.published import Published
from trainers.evaluation.run import Evaluation
from trainers.evaluation.scores import TrackScores
from trainers.evaluation.shelf import SONGS, SUMMARY
from trainers.evaluation.summary import Row, songs_csv, summarise, summary_document


@dataclass(frozen=True)
class Heading:
    """What a report is of.

    Attributes:
        title: in a few words.
        subtitle: the songs and the rules, in one line.
        published: figures of others for MUSDB18.
        is_musdb18: whether the songs are those.
    """

    title: str
    subtitle: str
    published: Sequence[Published] = ()
    is_musdb18: bool = False


def require_pictures() -> None:
    """See that reports can be drawn, before anything is measured.

    Raises:
        MissingExtraError: they cannot.
    """
    for package in ("matplotlib", "jinja2"):
        require_package(package, "eval")


def write_results(evaluation: Evaluation, heading: Heading) -> Path:
    """``summary.json``, ``songs.csv`` and ``report.html``; each is complete or as it was.

    Returns:
        The report.

    Raises:
        OutputError: they cannot be written.
    """
    from trainers.evaluation.report import Report, write_report

    results, rules, output = evaluation.results, evaluation.rules, evaluation.output
    rows = summarise(results.scores)
    document = {"songs": heading.title, **_document(evaluation, rows)}
    texts = {
        SUMMARY: json.dumps(document, indent=2) + "\n",
        SONGS: songs_csv(results.scores),
    }
    for name, text in texts.items():
        with staged(output / name) as place:
            place.write_text(text, encoding="utf-8")
    pieces = [_piece(evaluation, song) for song in evaluation.excerpts.songs]
    report = Report(
        title=heading.title,
        subtitle=heading.subtitle,
        window=rules.window,
        rows=rows,
        scores=results.scores,
        excerpts=[piece for piece in pieces if piece],
        published=heading.published,
        is_musdb18=heading.is_musdb18,
        failures=[str(failure) for failure in results.failures],
        document=document,
    )
    return write_report(report, output)


def _document(evaluation: Evaluation, rows: Sequence[Row]) -> dict[str, Any]:
    """What a program reads of the whole."""
    results = evaluation.results
    return {
        **summary_document(rows, evaluation.rules.plain),
        "methods": {name: _settings(songs) for name, songs in results.scores.items()},
        "failures": [failure.to_dict() for failure in results.failures],
    }


def _settings(songs: Mapping[str, TrackScores]) -> Any:
    """What decides the estimates of a method; null where it differs from song to song."""
    first, *others = [scores.made_by["method"] for scores in songs.values()] or [None]
    return first if all(other == first for other in others) else None


def _piece(evaluation: Evaluation, song: str) -> Excerpt | None:
    """What is heard and seen of a song: by methods that have scores of it."""
    made_by = {
        method: songs[song].made_by
        for method, songs in evaluation.results.scores.items()
        if song in songs
    }
    return evaluation.excerpts.load(song, made_by)

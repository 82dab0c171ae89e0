"""What an evaluation leaves behind, beside the scores of each song."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from model_zoo.errors import MissingExtraError
from model_zoo.files import staged
from trainers.evaluation.published import Published
from trainers.evaluation.run import Evaluation
from trainers.evaluation.summary import songs_csv, summarise, summary_document

SUMMARY, SONGS = "summary.json", "songs.csv"


@dataclass(frozen=True)
class Heading:
    """What a report is of.

    Attributes:
        title: in a few words.
        subtitle: the songs and the rules, in one line.
        published: figures of others for the same songs.
    """

    title: str
    subtitle: str
    published: Sequence[Published] = ()


def require_pictures() -> None:
    """See that reports can be drawn, before anything is measured.

    Raises:
        MissingExtraError: they cannot.
    """
    for package in ("matplotlib", "jinja2"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "eval")


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
    document = summary_document(rows, rules.plain)
    texts = {
        SUMMARY: json.dumps(document, indent=2) + "\n",
        SONGS: songs_csv(results.scores),
    }
    for name, text in texts.items():
        with staged(output / name) as place:
            place.write_text(text, encoding="utf-8")
    excerpts = evaluation.excerpts
    pieces = (excerpts.load(song, results.scores) for song in excerpts.songs)
    report = Report(
        title=heading.title,
        subtitle=heading.subtitle,
        window=rules.window,
        rows=rows,
        scores=results.scores,
        excerpts=[piece for piece in pieces if piece],
        published=heading.published,
        failures=[str(failure) for failure in results.failures],
        document=document,
    )
    return write_report(report, output)

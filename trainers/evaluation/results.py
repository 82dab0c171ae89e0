"""Writes the results of an evaluation, and stores scores in model cards."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from model_zoo.catalogue.cards import Card, SpeedRecord, card_path, find
from model_zoo.catalogue.names import is_path
from model_zoo.catalogue.scores import CardScore
from model_zoo.errors import OutputError, UnknownNameError, UsageError, require_package
from model_zoo.files import staged
from stemcli.engine.options import Options
from trainers.evaluation.evaluate import Evaluation, ScoringSettings
from trainers.evaluation.folder import SONGS, SUMMARY, Excerpt
from trainers.evaluation.metric_table import METRICS
from trainers.evaluation.scoring import TrackScores
from trainers.evaluation.speed import Speed
from trainers.evaluation.summary import Published, Row, songs_csv, summarize, summary_document


def require_cards(models: Iterable[str]) -> None:
    """Check that models have writable cards, before the evaluation.

    Raises:
        UsageError: a model is a file or a run.
        UnknownNameError: there is no model of that name.
        OutputError: a card is not writable.
    """
    for model in models:
        try:
            find(model)
        except UnknownNameError as error:
            if not is_path(model):
                raise
            raise UsageError(
                f"{model} has no card to write to. Add it to your models first:"
                f" stem models add {model} --name NAME"
            ) from error
        if not os.access(card_path(model).parent, os.W_OK):
            raise OutputError(f"The card of {model} is not writable: {card_path(model)}")


def store_scores(
    rows: Sequence[Row],
    models: Iterable[str],
    dataset: str,
    rules: ScoringSettings,
    how: Mapping[str, Any],
) -> list[str]:
    """Store both kinds of SDR in the cards of models.

    Args:
        rows: scores by method and stem.
        models: names of the methods that have a card.
        dataset: description of the data set.
        rules: settings of the scoring.
        how: options of the separation; those that differ from the defaults become part of the
            definition.

    Returns:
        Names of the changed cards.
    """
    ours = [row for row in rows if row.method in {*models}]
    for row in ours:
        _change(row.method, partial(_with_scores, _scores(row, dataset, rules, _unusual(how))))
    return list(dict.fromkeys(row.method for row in ours))


def store_speeds(speeds: Sequence[Speed], machine: str) -> list[str]:
    """Store speeds in the cards of models.

    Returns:
        Names of the changed cards.
    """
    for speed in speeds:
        processes = f"{speed.rounds} process{'es' if speed.rounds > 1 else ''}"
        sound = f"{speed.seconds:g} s of stereo at 44.1 kHz"
        record = SpeedRecord(
            machine=machine,
            precision=speed.precision,
            definition=f"median of {processes}, {sound}, without files",
            times_real_time=round(speed.times_real_time, 3),
            start_seconds=round(speed.start_seconds, 2),
            memory=speed.memory,
            gpu_memory=speed.gpu_memory,
        )
        _change(speed.model, partial(_with_speed, record))
    return list(dict.fromkeys(speed.model for speed in speeds))


def _unusual(how: Mapping[str, Any]) -> str:
    """Describe options that change the estimates, e.g. ``, overlap 0.5``."""
    usual = Options()
    typed = {key: value for key, value in how.items() if value != getattr(usual, key)}
    words = (f"{key} {value}" for key, value in typed.items() if key != "device")
    return "".join(f", {word}" for word in words)


def _scores(row: Row, dataset: str, rules: ScoringSettings, unusual: str) -> list[CardScore]:
    """Describe both kinds of SDR."""
    over = {
        key: f", {kind} of {row.songs[key]} songs" if row.songs[key] > 1 else ""
        for key, kind in (("SDR", "median"), ("global_sdr", "mean"))
    }
    definitions = {
        "SDR": f"BSSEval v4: median over windows of {rules.window:g} s{over['SDR']}{unusual}, dB",
        "global_sdr": f"whole song{over['global_sdr']}{unusual}, dB",
    }
    titles = {metric.key: metric.short for metric in METRICS}
    return [
        CardScore(dataset, row.stem, titles[key], definition, round(row.values[key], 2))
        for key, definition in definitions.items()
        if math.isfinite(row.values[key])
    ]


def _with_scores(new: Sequence[CardScore], card: Card) -> Card:
    """Replace scores of the same definition, and append the others."""
    keys = {replace(score, value=0.0) for score in new}
    kept = [score for score in card.scores if replace(score, value=0.0) not in keys]
    return replace(card, scores=(*kept, *new))


def _with_speed(record: SpeedRecord, card: Card) -> Card:
    key = (record.machine, record.precision)
    kept = [each for each in card.speeds if (each.machine, each.precision) != key]
    return replace(card, speeds=(*kept, record))


def _change(name: str, change: Callable[[Card], Card]) -> None:
    """Update a card file."""
    with staged(card_path(name)) as temporary:
        temporary.write_text(change(find(name)).to_toml(), encoding="utf-8")


@dataclass(frozen=True)
class Heading:
    """Heading of a report.

    Attributes:
        title: short title.
        subtitle: songs and settings, in one line.
        published: published results on MUSDB18.
        is_musdb18: whether the songs are those of MUSDB18.
    """

    title: str
    subtitle: str
    published: Sequence[Published] = ()
    is_musdb18: bool = False


def require_pictures() -> None:
    """Check that reports can be drawn, before the evaluation.

    Raises:
        MissingExtraError: a package is missing.
    """
    for package in ("matplotlib", "jinja2"):
        require_package(package, "eval")


def write_results(evaluation: Evaluation, heading: Heading) -> Path:
    """Write ``summary.json``, ``songs.csv`` and ``report.html``, each one atomically.

    Returns:
        Path of the report.

    Raises:
        OutputError: a file cannot be written.
    """
    from trainers.evaluation.report import Report, write_report

    results, rules, output = evaluation.results, evaluation.rules, evaluation.output
    rows = summarize(results.scores)
    document = {"songs": heading.title, **_document(evaluation, rows)}
    texts = {
        SUMMARY: json.dumps(document, indent=2) + "\n",
        SONGS: songs_csv(results.scores),
    }
    for name, text in texts.items():
        with staged(output / name) as temporary:
            # Excel reads CSV as UTF-8 only with a byte order mark.
            temporary.write_text(text, encoding="utf-8-sig" if name == SONGS else "utf-8")
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
    """Describe all results as JSON."""
    results = evaluation.results
    return {
        **summary_document(rows, evaluation.rules.plain),
        "methods": {name: _settings(songs) for name, songs in results.scores.items()},
        "failures": [failure.to_dict() for failure in results.failures],
    }


def _settings(songs: Mapping[str, TrackScores]) -> Any:
    """Return the settings of a method; None if they differ between songs."""
    first, *others = [scores.provenance["method"] for scores in songs.values()] or [None]
    return first if all(other == first for other in others) else None


def _piece(evaluation: Evaluation, song: str) -> Excerpt | None:
    """Return the excerpt of a song, for methods that have scores of it."""
    provenance = {
        method: songs[song].provenance
        for method, songs in evaluation.results.scores.items()
        if song in songs
    }
    return evaluation.excerpts.load(song, provenance)

"""Scores and speeds in the cards of models, each with its definition and the machine."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from model_zoo.card import Card, Score, SpeedRecord, card_path, find
from model_zoo.errors import OutputError, UnknownNameError, UsageError
from model_zoo.files import staged
from model_zoo.whereabouts import is_place
from stemcli.engine.options import Options
from trainers.evaluation.run import Rules
from trainers.evaluation.speed import Speed
from trainers.evaluation.summary import METRICS, Row


def require_cards(models: Iterable[str]) -> None:
    """See that models have cards, before anything is measured.

    Raises:
        UsageError: one is a file or a run.
        UnknownNameError: there is none of such a name.
        OutputError: a card cannot be written.
    """
    for model in models:
        try:
            find(model)
        except UnknownNameError as error:
            if not is_place(model):
                raise
            raise UsageError(
                f"{model} has no card to write to: give it a name in the zoo first, with"
                f" stem models add {model} --name NAME"
            ) from error
        if not os.access(card_path(model).parent, os.W_OK):
            raise OutputError(f"The card of {model} cannot be written: {card_path(model)}")


def store_scores(
    rows: Sequence[Row], models: Iterable[str], dataset: str, rules: Rules, how: Mapping[str, Any]
) -> list[str]:
    """Write SDR in both definitions to the cards of models.

    Args:
        rows: stems by methods.
        models: names of the methods that have a card.
        dataset: what was measured on.
        rules: how.
        how: fields of the engine's options that say how networks ran; others than the usual ones
            are part of the definition.

    Returns:
        Names of the cards, each once.
    """
    ours = [row for row in rows if row.method in {*models}]
    for row in ours:
        _change(row.method, partial(_with_scores, _scores(row, dataset, rules, _unusual(how))))
    return list(dict.fromkeys(row.method for row in ours))


def store_speeds(speeds: Sequence[Speed], machine: str) -> list[str]:
    """Write speeds to the cards of models.

    Returns:
        Names of the cards, each once.
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
    """Words for options with which a network gives other stems: ``, overlap 0.5``."""
    usual = Options()
    typed = {key: value for key, value in how.items() if value != getattr(usual, key)}
    words = (f"{key} {value}" for key, value in typed.items() if key != "device")
    return "".join(f", {word}" for word in words)


def _scores(row: Row, dataset: str, rules: Rules, unusual: str) -> list[Score]:
    """The two that go by the name of SDR."""
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
        Score(dataset, row.stem, titles[key], definition, round(row.values[key], 2))
        for key, definition in definitions.items()
        if math.isfinite(row.values[key])
    ]


def _with_scores(new: Sequence[Score], card: Card) -> Card:
    """In the place of those of the same thing by the same definition, and after all others."""
    keys = {replace(score, value=0.0) for score in new}
    kept = [score for score in card.scores if replace(score, value=0.0) not in keys]
    return replace(card, scores=(*kept, *new))


def _with_speed(record: SpeedRecord, card: Card) -> Card:
    key = (record.machine, record.precision)
    kept = [each for each in card.speeds if (each.machine, each.precision) != key]
    return replace(card, speeds=(*kept, record))


def _change(name: str, change: Callable[[Card], Card]) -> None:
    """Replace a card by what becomes of it."""
    with staged(card_path(name)) as place:
        place.write_text(change(find(name)).to_toml(), encoding="utf-8")

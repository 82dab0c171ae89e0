"""How good the averaged weights are on songs that are never trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from model_zoo.separator import Separator
from stemcli.engine.precision import Precision
from trainers.data.validation import ValidationSong
from trainers.loop.worker import Worker
from trainers.objectives import Objective


def validate(
    objective: Objective,
    model: Separator,
    songs: Sequence[ValidationSong],
    worker: Worker,
    precision: Precision,
) -> dict[str, float]:
    """Mean score over the songs that have one, by name, the same on every worker.

    Each worker hears its share of the songs, or all of them where none can hear one alone.
    """
    names = objective.scored(model)
    sums: dict[str, float] = {}
    for name in names:
        sums |= {f"sum {name}": 0.0, f"count {name}": 0.0}
    for song in worker.share(songs):
        found = objective.score(model, song.read(), precision, level_of(model, song))
        for name, score in found.items():
            sums[f"sum {name}"] += score
            sums[f"count {name}"] += 1
    return _means(worker.total(sums), names)


def level_of(model: Separator, song: ValidationSong) -> float:
    """What a song is divided by before a network hears it: its peak, where that has to be 1."""
    return song.peak if model.is_levelled else 1.0


def _means(sums: Mapping[str, float], names: tuple[str, ...]) -> dict[str, float]:
    """Means of what any song has."""
    counts = {name: sums[f"count {name}"] for name in names}
    return {name: sums[f"sum {name}"] / count for name, count in counts.items() if count}

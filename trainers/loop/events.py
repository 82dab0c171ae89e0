"""Events of a training run, and means of what steps report.

The order is ``RunStarted``, then ``StepDone`` for every step, after some of them ``Validated`` and
after that ``ExcerptRendered``, and ``RunFinished`` at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stemcli.engine.events import Event
from stemcli.engine.events import EventHandler as EventHandler  # noqa: PLC0414


@dataclass(frozen=True)
class RunStarted(Event):
    """Everything is in place.

    Attributes:
        recipe: its name.
        architecture: of the network.
        parameters: of the network.
        discriminator_parameters: of all discriminators; 0 without any.
        device: where it runs.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        first_step: steps done before.
        steps: of the whole run.
        steps_per_epoch: steps after which all of the data was drawn about once.
        validation_songs: how many.
        data: what was found to learn from, a line each.
        score: the word for what validations measure.
        unit: of it.
    """

    recipe: str
    architecture: str
    parameters: int
    discriminator_parameters: int
    device: str
    precision: str
    first_step: int
    steps: int
    steps_per_epoch: float
    validation_songs: int
    data: tuple[str, ...] = ()
    score: str = "SDR"
    unit: str = "dB"


@dataclass(frozen=True)
class StepDone(Event):
    """One optimizer step.

    Attributes:
        step: number of steps done.
        losses: every named loss, unweighted; ``total`` is their weighted sum for the network and
            ``discriminator`` the loss of its adversary. Networks of several stems have
            ``NAME/STEM`` as well. Of several workers these are the losses of the first one's clips.
        gradient_norms: before clipping, of ``model`` and of ``discriminator``.
        learning_rates: of ``model`` and of ``discriminator``.
        seconds: wall time of the step, waiting for data included.
        waited: seconds of it that were spent waiting for data.
    """

    step: int
    losses: dict[str, float]
    gradient_norms: dict[str, float]
    learning_rates: dict[str, float]
    seconds: float
    waited: float


@dataclass(frozen=True)
class Validated(Event):
    """How good the averaged weights are.

    Attributes:
        step: number of steps done.
        sdr: mean score over the songs, by stem; what it is says :class:`RunStarted`.
        mean: over the stems.
        best: whether it is the best of the run.
        best_mean: the best so far.
        findings: what the network knows of its own state, by name: how a code book is used.
    """

    step: int
    sdr: dict[str, float]
    mean: float
    best: bool
    best_mean: float
    findings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ExcerptRendered(Event):
    """Sound of one validation song, for people to hear.

    Attributes:
        step: number of steps done.
        song: its name.
        sample_rate: in Hz.
        waves: ``mixture``, ``NAME/estimate`` and ``NAME/true`` to ``channel time``.
        attention: name of a layer to a picture of its weights, ``query key``, from 0 to 1.
    """

    step: int
    song: str
    sample_rate: int
    waves: Mapping[str, np.ndarray]
    attention: Mapping[str, np.ndarray]

    def to_dict(self) -> dict[str, Any]:
        """Names only: sound is no matter for JSON."""
        names = {"waves": [*self.waves], "attention": [*self.attention]}
        plain = {"step": self.step, "song": self.song, "sample_rate": self.sample_rate}
        return {"event": "listened", **plain, **names}


@dataclass(frozen=True)
class RunFinished(Event):
    """The run is over.

    Attributes:
        step: number of steps done.
        best_mean: best validation score, mean over the stems; None without validation.
        weights: file with the best averaged weights.
        reason: why it ended.
    """

    step: int
    best_mean: float | None
    weights: str
    reason: str


GROUPS: dict[str, Callable[[StepDone], Mapping[str, float]]] = {
    "loss": lambda step: step.losses,
    "gradient_norm": lambda step: step.gradient_norms,
    "learning_rate": lambda step: step.learning_rates,
}


def means(steps: list[StepDone], steps_per_epoch: float) -> dict[str, float]:
    """What is written of some steps in a row, at least one.

    Args:
        steps: in order.
        steps_per_epoch: 0 when nobody knows.

    Returns:
        ``loss/NAME``, ``gradient_norm/NAME`` and ``learning_rate/NAME``: means over the steps that
        had them, since an adversary comes later than the first step; ``time/seconds_per_step``;
        ``time/share_waiting_for_data`` of that time; ``time/epoch``, the number of times that all
        data was drawn, where that is known.
    """
    found = {
        f"{group}/{name}": mean
        for group, values in GROUPS.items()
        for name, mean in mean_of_each([values(step) for step in steps]).items()
    }
    seconds = sum(step.seconds for step in steps)
    waited = sum(step.waited for step in steps)
    found["time/seconds_per_step"] = seconds / len(steps)
    found["time/share_waiting_for_data"] = waited / seconds if seconds else 0.0
    if steps_per_epoch:
        found["time/epoch"] = steps[-1].step / steps_per_epoch
    return found


def mean_of_each(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each name over the rows that have it, in the order they came."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    return {name: sum(some) / len(some) for name, some in values.items()}

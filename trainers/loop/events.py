"""Events of a training run, and the means over steps that logs and displays show.

The order is ``RunStarted``, then ``StepDone`` for every step, after some of them ``Validated`` and
after that ``ExcerptRendered``, and ``RunFinished`` at the end. ``StageProgress`` says what happens
between two steps: validating, writing excerpts, saving a checkpoint, and training again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from stemcli.engine.events import Event


@dataclass(frozen=True)
class RunStarted(Event):
    """A run starts.

    Attributes:
        recipe: name of the recipe.
        architecture: architecture of the network.
        parameters: number of the network's parameters.
        discriminator_parameters: parameters of all discriminators; 0 without any.
        device: device of the network.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        first_step: steps done before.
        steps: steps of the whole run.
        steps_per_epoch: steps that draw all of the data about once.
        validation_songs: number of validation songs.
        data: summary of the training data, in lines.
        score: name of the validation score.
        unit: unit of the validation score.
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
    """One optimizer step was taken.

    Attributes:
        step: number of steps done.
        losses: every named loss, unweighted; ``total`` is their weighted sum for the network and
            ``discriminator`` the loss of the discriminators. Networks of several stems have
            ``NAME/STEM`` as well. With several workers, losses of rank 0's clips.
        gradient_norms: norms before clipping, of ``model`` and ``discriminator``.
        learning_rates: learning rates of ``model`` and ``discriminator``.
        seconds: wall time of the step, waiting for data included.
        waited: seconds of the step spent waiting for data.
    """

    step: int
    losses: dict[str, float]
    gradient_norms: dict[str, float]
    learning_rates: dict[str, float]
    seconds: float
    waited: float


Stage = Literal["training", "validating", "rendering", "saving"]


@dataclass(frozen=True)
class StageProgress(Event):
    """A run enters a stage between two steps, or proceeds in it.

    Attributes:
        step: number of steps done.
        stage: ``validating`` songs, ``rendering`` excerpts, ``saving`` a checkpoint, or
            ``training`` again.
        done: songs of this worker, or excerpts, that are done.
        total: all of them; 0 if the stage has no parts.
    """

    step: int
    stage: Stage
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Validated(Event):
    """The averaged weights were validated.

    Attributes:
        step: number of steps done.
        sdr: mean score over the songs, by stem; :class:`RunStarted` has its name and unit.
        mean: mean over the stems.
        best: whether this is the best mean of the run.
        best_mean: best mean so far.
        diagnostics: values of the network by name, e.g. the usage of its codebook.
    """

    step: int
    sdr: dict[str, float]
    mean: float
    best: bool
    best_mean: float
    diagnostics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ExcerptRendered(Event):
    """An excerpt of a validation song was separated, to be listened to.

    Attributes:
        step: number of steps done.
        song: name of the song.
        sample_rate: in Hz.
        waves: ``mixture``, ``NAME/estimate`` and ``NAME/true`` to ``channel time``.
        attention: attention map of each layer, ``query key``, from 0 to 1, by layer name.
    """

    step: int
    song: str
    sample_rate: int
    waves: Mapping[str, np.ndarray]
    attention: Mapping[str, np.ndarray]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: names only, without audio."""
        names = {"waves": [*self.waves], "attention": [*self.attention]}
        plain = {"step": self.step, "song": self.song, "sample_rate": self.sample_rate}
        return {"event": "excerpt_rendered", **plain, **names}


@dataclass(frozen=True)
class RunFinished(Event):
    """A run has ended.

    Attributes:
        step: number of steps done.
        best_mean: best validation score, mean over the stems; None without validation.
        weights: file with the best averaged weights.
        reason: reason why it ended.
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
    """Means over consecutive steps, as logs and displays show them.

    Args:
        steps: one step or more, in order.
        steps_per_epoch: steps in an epoch; 0 if unknown.

    Returns:
        ``loss/NAME``, ``gradient_norm/NAME`` and ``learning_rate/NAME``: means over the steps that
        have them (discriminators may start after the first step); ``time/seconds_per_step``;
        ``time/share_waiting_for_data`` of that time; ``time/epoch``, the number of epochs, if
        known.
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
    """Mean of each name over the rows that have it, in order of appearance."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    return {name: sum(some) / len(some) for name, some in values.items()}

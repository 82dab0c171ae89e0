"""What a search tells while it goes; the same lines are its memory.

The order of one trial is ``TrialProposed``, then ``TrialStarted`` whenever it is begun or gone on
with, ``TrialValidated`` for every validation, and one ``TrialEnded``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from stemcli.engine.events import Event

How = Literal["done", "stopped", "failed"]
"""How a trial ends: it took all steps; ASHA stopped it; it could not go on."""


@dataclass(frozen=True)
class SearchStarted(Event):
    """Everything is in place.

    Attributes:
        architecture: whose hyperparameters are searched.
        recipe: name of the recipe that is varied.
        varied: names of the hyperparameters.
        trials: in all.
        over: of them that an earlier start of the search has ended.
        at_once: trials that run side by side.
        cores: of each worker; with a GPU these are only its helpers.
        gpus: of each worker.
        steps: of a whole trial.
        rungs: steps after which bad trials are stopped.
        data: what was found to learn from, a line each.
        left_out: hyperparameters that mean nothing for this recipe, and why.
        workers: of each trial.
    """

    architecture: str
    recipe: str
    varied: tuple[str, ...]
    trials: int
    over: int
    at_once: int
    cores: int
    gpus: int
    steps: int
    rungs: tuple[int, ...]
    data: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    workers: int = 1


@dataclass(frozen=True)
class TrialProposed(Event):
    """A trial was thought of.

    Attributes:
        number: of the trial, from 1.
        raws: what the searcher drew, by hyperparameter.
        values: keys of the recipe and what they become.
        shown: values by hyperparameter, as people read them.
    """

    number: int
    raws: dict[str, int | float]
    values: dict[str, Any]
    shown: dict[str, str]


@dataclass(frozen=True)
class TrialStarted(Event):
    """A trial takes its first step, or goes on.

    Attributes:
        number: of the trial.
        parameters: of its network.
        step: steps done before.
    """

    number: int
    parameters: int
    step: int


@dataclass(frozen=True)
class TrialValidated(Event):
    """How good a trial is.

    Attributes:
        number: of the trial.
        step: steps done.
        sdr: mean SDR in dB over stems and songs.
        best: the best of the trial so far, in dB: what is compared.
        seconds: that the trial has run, earlier starts included.
    """

    number: int
    step: int
    sdr: float
    best: float
    seconds: float


@dataclass(frozen=True)
class TrialEnded(Event):
    """A trial is over.

    Attributes:
        number: of the trial.
        how: see :data:`How`.
        reason: a sentence.
    """

    number: int
    how: How
    reason: str


@dataclass(frozen=True)
class SearchFinished(Event):
    """The search is over.

    Attributes:
        best: number of the best trial; None where all failed.
        sdr: its SDR in dB.
        counts: trials by how they ended.
        recipe: file with the recipe of the best trial; empty where all failed.
        picture: file with the picture of the search.
        seconds: of this start.
    """

    best: int | None
    sdr: float | None
    counts: dict[str, int]
    recipe: str
    picture: str
    seconds: float


Listener = Callable[[Event], None]
KINDS: dict[str, type[Event]] = {
    "trial_proposed": TrialProposed,
    "trial_started": TrialStarted,
    "trial_validated": TrialValidated,
    "trial_ended": TrialEnded,
}
"""What is remembered, by the name that :meth:`~stemcli.engine.events.Event.to_dict` gives."""

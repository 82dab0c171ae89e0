"""Events and studies of searches without any training."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from optuna.pruners import NopPruner
from optuna.trial import TrialState, create_trial

from stemcli.engine.events import Event
from trainers.cluster.study import distribution
from trainers.config import Recipe
from trainers.recipes.loading import load_recipe
from trainers.search.journal import open_storage, open_study
from trainers.search.plan import Plan
from trainers.search.space import Space, read_space, space_text
from trainers.search.trials import TrialEnded, TrialProposed, Trials, TrialStarted, TrialValidated

STEPS = (20, 40, 60, 80, 100)


def built_in_space(architecture: str, base: Recipe | None = None) -> Space:
    base = base or load_recipe(f"tune-{architecture}")
    return read_space(space_text(architecture), architecture, base, own=True)


def plan_of(architecture: str = "melroformer", trials: int = 6) -> Plan:
    base = load_recipe(f"tune-{architecture}")
    text = space_text(architecture)
    return Plan(architecture, base.to_dict(), text, "", trials, seed=3, startup=4)


def events_of(space: Space, scores: dict[int, list[float] | str]) -> Iterator[Event]:
    """The events of a search, given the best SDR of trials after each of STEPS, or their error."""
    rng = random.Random(7)
    for number, outcome in scores.items():
        params = {dimension.name: dimension.at(rng.random()) for dimension in space.dimensions}
        changes = space.changes(params)
        yield TrialProposed(number, params, changes, space.shown(changes))
        if isinstance(outcome, str):
            yield TrialEnded(number, "failed", outcome)
            continue
        yield TrialStarted(number, 1000 * number, 0)
        for step, best in zip(STEPS, outcome, strict=False):
            yield TrialValidated(number, step, best, best, float(step))
        if len(outcome) == len(STEPS):
            yield TrialEnded(number, "done", "all steps are done")
        else:
            yield TrialEnded(
                number, "stopped", f"stopped by ASHA after {STEPS[len(outcome) - 1]} steps"
            )


def trials_of(events: Iterator[Event]) -> Trials:
    trials = Trials()
    for event in events:
        trials.note(event)
    return trials


STATES = {"done": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}


def write_study(folder: Path, space: Space, trials: Trials) -> None:
    """Write finished trials to ``study.log``."""
    study = open_study(open_storage(folder), NopPruner())
    for trial in trials:
        user_attrs = {"values": trial.values, "shown": trial.shown, "reason": trial.reason}
        study.add_trial(
            create_trial(
                state=STATES[trial.state],
                params=trial.params,
                distributions={
                    dimension.name: distribution(dimension) for dimension in space.dimensions
                },
                value=trial.sdr if trial.state == "done" else None,
                intermediate_values=dict(trial.curve),
                user_attrs={**user_attrs, "seconds": trial.seconds, "parameters": trial.parameters},
            )
        )


OUTCOMES: dict[int, list[float] | str] = {
    1: [1.0, 2.0, 3.0, 4.0, 4.5],
    2: [0.5, 0.7],
    3: "A gradient is not finite",
    4: [1.5, 2.5, 3.5, 4.5, 5.25],
}

"""The Optuna study of a search, and the Ray Tune searcher and scheduler that follow it.

Optuna proposes trials by TPE and prunes them by asynchronous successive halving (ASHA). A search
that was killed proposes and prunes as one that was not: every proposal has a new sampler, seeded by
the plan and the number of the trial, and no decision depends on two lines of the journal, of which
a kill could leave only one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from stemcli.engine.events import EventHandler
from trainers.cluster.tune_trial import SDR, process_lost
from trainers.search.journal import (
    STUDY,
    convert_trial,
    open_storage,
    open_study,
    quiet_optuna,
    trim,
    why_stopped,
)
from trainers.search.parameters import Dimension, Listed
from trainers.search.plan import Plan, Rungs
from trainers.search.space import Params, Space
from trainers.search.trials import (
    How,
    Trial,
    TrialEnded,
    TrialProposed,
    Trials,
    TrialStarted,
    TrialValidated,
)


class SearchStudy:
    """Proposes trials, records their scores and decides which of them stop.

    Trials that were interrupted are proposed again first.

    Args:
        folder: folder of the search, locked by :func:`~trainers.loop.checks.lock_folder`.
        plan: plan of the search.
        space: hyperparameters that are varied.
        rungs: steps after which trials are compared.
        report: called with every event after it is in the journal.

    Raises:
        CheckpointError: the journal is damaged.
        OutputError: the journal cannot be written.
    """

    def __init__(
        self, folder: Path, plan: Plan, space: Space, rungs: Rungs, report: EventHandler
    ) -> None:
        self._plan, self._space, self._rungs, self._report = plan, space, rungs, report
        self._distributions = {one.name: distribution(one) for one in space.dimensions}
        trim(folder)
        self._storage = open_storage(folder)
        self._study = open_study(
            self._storage,
            SuccessiveHalvingPruner(min_resource=rungs.grace, reduction_factor=rungs.factor),
        )
        self._seconds_before: dict[int, float] = {}
        for trial in self.trials:
            if not trial.is_over and trial.curve:
                self._stop_if_pruned(trial.number, trial.step)
        self._interrupted = [trial for trial in self.trials if not trial.is_over]

    def __deepcopy__(self, memo: object) -> SearchStudy:
        """Return the study itself: Ray Tune copies its searcher, but a search has one journal."""
        return self

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        """Pickle an empty object: Ray Tune pickles its searcher but never loads it."""
        return object, ()

    @property
    def trials(self) -> Trials:
        """All trials so far."""
        return Trials(self._plan.score, map(convert_trial, self._study.trials))

    def next(self) -> Trial | None:
        """The next trial to run; None when all have been taken."""
        if self._interrupted:
            return self._interrupted.pop(0)
        number = len(self._study.trials) + 1
        if number > self._plan.trials:
            return None
        params = self._propose(number)
        changes = self._space.changes(params)
        shown = self._space.shown(changes)
        self._study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=params,
                distributions=self._distributions,
                user_attrs={"values": changes, "shown": shown},
            )
        )
        self._report(TrialProposed(number, params, changes, shown))
        return self._find(number)

    def started(self, number: int, parameters: int, step: int) -> None:
        """Record that a trial begins, or resumes after ``step`` steps."""
        trial = self._find(number)
        if trial.is_over:
            return
        self._seconds_before[number] = trial.seconds
        self._live(number).set_user_attr("parameters", parameters)
        self._report(TrialStarted(number, parameters, step))

    def validated(self, number: int, step: int, sdr: float, best: float, seconds: float) -> bool:
        """Record the score of a trial; returns whether it has to stop.

        Args:
            number: of the trial.
            step: steps done.
            sdr: mean SDR in dB.
            best: the best of the trial so far, in dB: what is compared.
            seconds: since the trial was started last.
        """
        before = self._find(number)
        if before.is_over or step <= before.step:  # a trial that resumes repeats some
            return before.is_over
        total = self._seconds_before.get(number, 0.0) + seconds
        trial = self._live(number)
        trial.set_user_attr("seconds", total)
        trial.report(best, step)
        self._report(TrialValidated(number, step, sdr, best, total))
        return self._stop_if_pruned(number, step)

    def ended(self, number: int, how: How, reason: str) -> None:
        """Record the end of a trial; later reports of it are ignored."""
        trial = self._find(number)
        if trial.is_over:
            return
        if how == "done" and trial.sdr is None:
            how, reason = "failed", "it ended without a validation"
        self._live(number).set_user_attr("reason", reason)
        if how == "done":
            self._study.tell(number - 1, trial.sdr)
        else:
            self._study.tell(number - 1, state=TrialState.FAIL)
        self._report(TrialEnded(number, how, reason))

    def _stop_if_pruned(self, number: int, step: int) -> bool:
        if step >= self._rungs.steps or not self._live(number).should_prune():
            return False
        self._study.tell(number - 1, state=TrialState.PRUNED)
        self._report(TrialEnded(number, "stopped", why_stopped(step)))
        return True

    def _propose(self, number: int) -> Params:
        """Return parameters of a new trial; the first is the recipe itself, if the space has it.

        They are drawn in a copy of the study: in the study itself, Optuna would write a line of
        the journal for each.
        """
        base = self._space.base_params
        if number == 1 and base:
            return base
        seed = np.random.SeedSequence((self._plan.seed, number)).generate_state(1)
        with quiet_optuna():
            sampler = TPESampler(seed=int(seed[0]), n_startup_trials=self._plan.startup)
            copy = optuna.create_study(direction="maximize", sampler=sampler)
            copy.add_trials(self._study.trials)
            return copy.ask(self._distributions).params

    def _live(self, number: int) -> optuna.Trial:
        """Return Optuna's handle of a running trial; Optuna counts trials from 0."""
        study_id = self._storage.get_study_id_from_name(STUDY)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, number - 1)
        return optuna.Trial(self._study, trial_id)

    def _find(self, number: int) -> Trial:
        return convert_trial(self._study.trials[number - 1])


def distribution(one: Dimension) -> BaseDistribution:
    """Convert a hyperparameter to a distribution of Optuna."""
    if isinstance(one, Listed):
        last = len(one.options) - 1
        return IntDistribution(0, last) if one.ordered else CategoricalDistribution(range(last + 1))
    low, high = one.domain.bounds
    return FloatDistribution(low, high, log=one.domain.log)


class StudySearcher(Searcher):
    """Gives Ray Tune the trials of a study."""

    def __init__(self, study: SearchStudy) -> None:
        super().__init__(metric=SDR, mode="max")
        self._study = study
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the number and the values of the next trial."""
        trial = self._study.next()
        if trial is None:
            return Searcher.FINISHED
        self._numbers[trial_id] = trial.number
        return {"number": trial.number, "values": trial.values}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record the failure of a trial whose process never began.

        All other failures come through the scheduler, with their cause.
        """
        if error:
            self._study.ended(self._numbers[trial_id], "failed", str(process_lost(None)))

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal of the study is enough."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the journal of the study is enough."""


class StudyScheduler(FIFOScheduler):
    """Passes the reports of trials to a study, and stops the trials that it prunes."""

    def __init__(self, study: SearchStudy) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._study = study

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Record a report; returns whether the trial continues."""
        number = trial.config["number"]
        stops = False
        if result.get("ended"):
            self._study.ended(number, result["ended"], result["reason"])
        elif SDR in result:
            stops = self._study.validated(
                number, result["step"], result[SDR], result["best"], result["seconds"]
            )
        elif "parameters" in result:
            self._study.started(number, result["parameters"], result["step"])
        return TrialScheduler.STOP if stops else TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Record the failure of a trial whose process was lost, unless Ray restarts it."""
        if trial.should_recover():
            return
        error = trial.get_pickled_error() or trial.get_error()
        self._study.ended(trial.config["number"], "failed", str(process_lost(error)))

"""Ray Tune runs the trials of a :class:`~trainers.cluster.tuning.study.Study`.

What Ray itself keeps of an experiment goes to a folder that is thrown away: the journal of the
search and the checkpoints of its trials are all that is needed to go on.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from model_zoo.errors import ClusterError
from stemcli.cluster import ray_session
from stemcli.cluster.nodes import list_nodes
from stemcli.process import environment
from trainers.cluster.preflight import preflight
from trainers.cluster.tune_trial import TrialContext, TrialResources, find_room, lost, run_trial
from trainers.cluster.tuning.study import SDR, Study
from trainers.search.plan import Plan

RETRIES = 1
"""Times that a trial whose process was killed is gone on with."""

SETTINGS = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends a search at once
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # trials write their own logs
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # not every answer has an SDR
    "TUNE_WARN_THRESHOLD_S": "1e9",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}
"""What Ray Tune reads from the environment."""


@contextmanager
def opened(
    place: Path,
    paths: Sequence[Path],
    *,
    alone: bool,
    device: str,
    jobs: int,
    trials: int,
    workers: int,
    verbose: bool,
) -> Iterator[TrialResources]:
    """Belong to a cluster for a while, and know what room there is.

    Args:
        place: folder of the search.
        paths: what all machines have to see.
        alone: use this machine only, whatever cluster RAY_ADDRESS names.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        jobs: trials that share the cores of a machine; 0 chooses.
        trials: how many there are to run.
        workers: of each trial.
        verbose: show what Ray says.

    Raises:
        ClusterError: the cluster cannot be joined, or has no room for the workers of one trial.
        DeviceError: GPUs are asked for, and there is none.
        StemError: as :func:`~trainers.cluster.preflight.preflight`, of a cluster of several
            machines.
    """
    with ray_session(verbose, alone=alone):
        nodes: Any = ray.nodes
        room = find_room(nodes(), device, jobs, trials, workers)
        if not alone:
            preflight(place, paths, list_nodes())
        yield room


def run_trials(
    study: Study, plan: Plan, place: TrialContext, room: TrialResources, *, verbose: bool
) -> None:
    """Run the trials of a study until there are none left.

    Args:
        study: proposes and judges.
        plan: what is searched.
        place: where trials write.
        room: how many run at once, and what each gets.
        verbose: let Ray Tune speak.

    Raises:
        ClusterError: Ray Tune cannot go on.
        OutputError: the journal cannot be written.
    """
    left = plan.trials - study.trials.over
    if left <= 0:
        return

    def trial(config: dict[str, Any]) -> None:
        run_trial(plan, place, config["number"], config["values"], tune.report)

    trainable: Any = tune.with_resources(trial, room.resources)
    with (
        environment(SETTINGS, replace=True),
        _silent(verbose),
        TemporaryDirectory(prefix="stem-tune-") as storage,
    ):
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=StudySearcher(study),
                scheduler=StudyScheduler(study),
                num_samples=left,
                max_concurrent_trials=room.at_once,
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=storage,
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                verbose=1 if verbose else 0,
            ),
        )
        try:
            tuner.fit()
        except tune.TuneError as error:
            first = (str(error).splitlines() or ["no reason given"])[0]
            raise ClusterError(
                f"Ray Tune cannot go on ({first}). To go on, run it again with --resume"
            ) from error


class StudySearcher(Searcher):
    """Lets Ray Tune ask the study for trials."""

    def __init__(self, study: Study) -> None:
        super().__init__(metric=SDR, mode="max")
        self._study = study
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        """The number and the values of the next trial."""
        trial = self._study.next()
        if trial is None:
            return Searcher.FINISHED
        self._numbers[trial_id] = trial.number
        return {"number": trial.number, "values": trial.values}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Pass on the end of trials whose process never began; of others, the scheduler told."""
        if error:
            self._study.ended(self._numbers[trial_id], "failed", str(lost(None)))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal remembers."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the journal remembers."""


class StudyScheduler(FIFOScheduler):
    """Lets Ray Tune tell the study what trials answer, and hear which have to stop."""

    def __init__(self, study: Study) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._study = study

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Hand on what a trial answers."""
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
        """A trial's process was lost, more often than it is gone on with."""
        error = trial.get_pickled_error() or trial.get_error()
        self._study.ended(trial.config["number"], "failed", str(lost(error)))


@contextmanager
def _silent(verbose: bool) -> Iterator[None]:
    """Keep what Ray Tune says of its own work from the screen."""
    if verbose:
        yield
        return
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.train", "ray.air")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"ray\.")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)

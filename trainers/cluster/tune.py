"""A whole search: its checks, its resources, and the run of its trials on Ray Tune.

What Ray itself keeps of an experiment goes to a temporary folder: the journal of the study and the
checkpoints of the trials are all that is needed to resume.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray import tune

from model_zoo.catalogue.resolve import LAST
from model_zoo.errors import ClusterError, DataError, DeviceError, OutputError, UsageError
from stemcli.cluster import ray_session
from stemcli.cluster.nodes import check_device, list_nodes
from stemcli.engine.events import EventHandler
from stemcli.process import environment
from stemcli.remote_path import UrlPath
from trainers.cluster.preflight import preflight
from trainers.cluster.study import SearchStudy, StudyScheduler, StudySearcher
from trainers.cluster.tune_trial import (
    TrialContext,
    TrialResources,
    data_of,
    find_resources,
    run_trial,
)
from trainers.data.training_data import open_data_of
from trainers.loop.checks import check_folder, lock_folder
from trainers.search.plan import PLAN, STUDY_LOG, Plan, refuse_earlier_version, rungs_of
from trainers.search.space import Space
from trainers.search.trials import SearchStarted, Trials

RETRIES = 1
"""Times that Ray Tune restarts a trial whose process was killed."""

SETTINGS = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends a search at once
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # trials write their own logs
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # not every report has an SDR
    "TUNE_WARN_THRESHOLD_S": "1e9",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}
"""Environment variables of Ray Tune."""


@dataclass(frozen=True)
class Machines:
    """Where a search runs.

    Attributes:
        cluster: join the cluster that RAY_ADDRESS names; otherwise this machine alone.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        jobs: workers that share the cores of a machine; 0 chooses.
        workers: workers per trial.
        verbose: show what Ray logs.
    """

    cluster: bool = False
    device: str = "auto"
    jobs: int = 0
    workers: int = 1
    verbose: bool = False


def search(
    plan: Plan, output: Path, machines: Machines, report: EventHandler, *, resume: bool
) -> Trials:
    """Run the trials of a plan that have not ended; returns all of them.

    Args:
        plan: plan of the search.
        output: folder of the search.
        machines: where it runs.
        report: receives all events.
        resume: continue the search in ``output``.

    Raises:
        OutputError: ``output`` holds a search and ``resume`` is off, or cannot be written.
        CheckpointError: its journal is damaged, or an earlier version wrote it.
        ConfigError: the space does not fit the recipe, or the recipe the data.
        DataError: the data cannot be used, or there are no songs to validate with.
        ClusterError: the cluster cannot be joined.
        DeviceError: there is no such device.
        KeyboardInterrupt: it was interrupted, and can be resumed.
    """
    check_output(output, resume)
    _check_device(machines)
    space, rungs = plan.bound_space(), rungs_of(plan.base)
    data = describe_data(plan)
    with lock_folder(output):
        plan.write(output)
        study = SearchStudy(output, plan, space, rungs, report)
        over = study.trials.over
        if over >= plan.trials:
            report(_started(plan, space, TrialResources(0, 0, 0), over, data))
            return study.trials
        with open_resources(plan, output, machines, plan.trials - over) as resources:
            report(_started(plan, space, resources, over, data))
            context = TrialContext.here(output, machines.device, resources)
            run_trials(study, plan, context, resources, verbose=machines.verbose)
        return study.trials


def _started(
    plan: Plan, space: Space, resources: TrialResources, over: int, data: tuple[str, ...]
) -> SearchStarted:
    rungs = rungs_of(plan.base)
    return SearchStarted(
        architecture=plan.architecture,
        recipe=plan.base.name,
        varied=tuple(one.name for one in space.dimensions),
        trials=plan.trials,
        over=over,
        at_once=resources.at_once,
        cores=resources.cores,
        gpus=resources.gpus,
        steps=rungs.steps,
        rungs=rungs.all,
        data=data,
        left_out=space.left_out,
        workers=resources.workers,
    )


def check_output(output: Path, resume: bool) -> None:
    """Refuse a folder that cannot be the folder of a search.

    Raises:
        OutputError: it holds a search and ``resume`` is off, or a run; or it cannot be written.
        CheckpointError: it holds a search of an earlier version.
    """
    if isinstance(output, UrlPath):
        raise OutputError(
            f"{output} is not a local folder. Use --output with one that all machines share"
        )
    if (output / LAST).exists() and not (output / PLAN).exists():
        raise OutputError(f"{output} holds a run of stem train. Name another --output")
    check_folder(output, resume)
    refuse_earlier_version(output)
    if not resume and any((output / name).exists() for name in (PLAN, STUDY_LOG)):
        raise OutputError(f"{output} already holds a search. Add --resume or use another --output")


def _check_device(machines: Machines) -> None:
    """Refuse a device that trials cannot use.

    Raises:
        DeviceError: trials cannot use it.
    """
    if machines.cluster:
        check_device(machines.device)
    elif machines.device.startswith("cuda:"):
        number = machines.device.removeprefix("cuda:")
        raise DeviceError(
            f"Trials share all GPUs. To use one of them, put CUDA_VISIBLE_DEVICES={number} before "
            "the command and use --device cuda"
        ).about("device")


def describe_data(plan: Plan) -> tuple[str, ...]:
    """Describe the training data, a line each, before anything is started.

    Raises:
        ConfigError: the data lack a stem of the network.
        DataError: the data cannot be used, or there are no songs to validate with.
        UsageError: validation songs are given without data.
    """
    if plan.validation and not plan.data:
        raise UsageError(
            "--validation needs --data: the synthetic songs have validation songs of their own"
        )
    folder, base = data_of(plan), plan.base
    found = open_data_of(base, folder, tuple(map(Path, plan.validation)))
    if not found.validation:
        raise DataError(
            str(folder),
            [
                "trials are compared on validation songs, and there are none. Use --validation "
                "DIR, or --set data.validation_fraction=0.1 with more than one song"
            ],
        )
    return found.summary


@contextmanager
def open_resources(
    plan: Plan, output: Path, machines: Machines, trials: int
) -> Iterator[TrialResources]:
    """Join or start a Ray cluster, and divide its resources among the trials.

    Args:
        plan: plan of the search.
        output: folder of the search.
        machines: where it runs.
        trials: number of trials to run.

    Raises:
        ClusterError: the cluster cannot be joined, or is too small for the workers of one trial.
        DeviceError: a GPU was asked for, and there is none.
        StemError: as :func:`~trainers.cluster.preflight.preflight`, of a cluster of several
            machines.
    """
    paths = [*([Path(plan.data)] if plan.data else []), *map(Path, plan.validation)]
    with ray_session(machines.verbose, alone=not machines.cluster):
        nodes: Any = ray.nodes
        resources = find_resources(
            nodes(), machines.device, machines.jobs, trials, machines.workers
        )
        if machines.cluster:
            preflight(output, paths, list_nodes())
        yield resources


def run_trials(
    study: SearchStudy,
    plan: Plan,
    context: TrialContext,
    resources: TrialResources,
    *,
    verbose: bool,
) -> None:
    """Run the trials of a study on Ray Tune until all have ended.

    Args:
        study: proposes trials and stops them.
        plan: plan of the search.
        context: paths and device of the trials.
        resources: how many run in parallel, and what each gets.
        verbose: show what Ray Tune logs.

    Raises:
        ClusterError: Ray Tune failed.
        OutputError: the journal cannot be written.
    """

    def trial(config: dict[str, Any]) -> None:
        run_trial(plan, context, config["number"], config["values"], tune.report)

    trainable: Any = tune.with_resources(trial, resources.per_trial)
    with (
        environment(SETTINGS, replace=True),
        _quiet_ray(verbose),
        TemporaryDirectory(prefix="stem-tune-") as storage,
    ):
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=StudySearcher(study),
                scheduler=StudyScheduler(study),
                num_samples=plan.trials - study.trials.over,
                max_concurrent_trials=resources.at_once,
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
                f"Ray Tune failed ({first}). To resume, run it again with --resume"
            ) from error


@contextmanager
def _quiet_ray(verbose: bool) -> Iterator[None]:
    """Silence Ray Tune's logs and warnings."""
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

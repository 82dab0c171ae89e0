"""A whole search, from what was asked for to trials that are over."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from model_zoo import registry
from model_zoo.catalogue.resolve import LAST
from model_zoo.errors import DataError, DeviceError, OutputError, UsageError
from stemcli.cluster.nodes import check_device
from stemcli.engine.events import Event
from stemcli.remote_path import UrlPath
from trainers.cluster.tune_trial import TrialContext, TrialResources, data_of
from trainers.cluster.tuning.study import Study
from trainers.cluster.tuning.tuner import opened, run_trials
from trainers.data.training_data import open_data
from trainers.loop.checks import check_folder, lock_folder
from trainers.search.journal import Journal, remembered
from trainers.search.plan import PLAN, Plan, rungs_of
from trainers.search.trials import Listener, SearchStarted, Trials


@dataclass(frozen=True)
class Machines:
    """Where a search runs.

    Attributes:
        cluster: join the cluster that RAY_ADDRESS names; otherwise this machine alone.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        jobs: trials that share the cores of a machine; 0 chooses.
        workers: that each trial is spread over.
        verbose: let Ray speak.
    """

    cluster: bool = False
    device: str = "auto"
    jobs: int = 0
    workers: int = 1
    verbose: bool = False


def search(plan: Plan, output: Path, machines: Machines, tell: Listener, *, resume: bool) -> Trials:
    """Run the trials of a plan that are not over; returns all of them.

    Args:
        plan: what is searched.
        output: folder of the search.
        machines: where it runs.
        tell: told everything that happens.
        resume: go on with what is in ``output``.

    Raises:
        OutputError: ``output`` holds a search and ``resume`` is off, or cannot be written.
        CheckpointError: the journal in it is damaged.
        ConfigError: the space does not fit the recipe, or the recipe the data.
        DataError: the data cannot be used, or there are no songs to validate with.
        ClusterError: the cluster cannot be joined.
        DeviceError: there is no such device.
        KeyboardInterrupt: it was interrupted, and can be resumed.
    """
    check_output(output, resume)
    _check_device(machines)
    space = plan.bound_space()
    found = look(plan)
    with lock_folder(output):
        heard = remembered(output) if resume else []
        plan.write(output)
        with Journal(output) as journal:

            def both(event: Event) -> None:
                journal.note(event)
                tell(event)

            rungs = rungs_of(plan.base)
            study = Study(plan, space, rungs, heard, both)
            with _room(machines, plan, study, output) as room:
                varied = tuple(one.name for one in space.dimensions)
                tell(
                    SearchStarted(
                        plan.architecture,
                        plan.base.name,
                        varied,
                        plan.trials,
                        study.trials.over,
                        room.at_once,
                        room.cores,
                        room.gpus,
                        rungs.steps,
                        rungs.all,
                        found,
                        space.left_out,
                        room.workers,
                    )
                )
                place = TrialContext.here(output, machines.device, room)
                run_trials(study, plan, place, room, verbose=machines.verbose)
    return study.trials


def _room(
    machines: Machines, plan: Plan, study: Study, output: Path
) -> AbstractContextManager[TrialResources]:
    """Room for what is left; where nothing is, nobody is woken."""
    left = plan.trials - study.trials.over
    if left <= 0:
        return nullcontext(TrialResources(0, 0, 0))
    paths = [*([Path(plan.data)] if plan.data else []), *map(Path, plan.validation)]
    return opened(
        output,
        paths,
        alone=not machines.cluster,
        device=machines.device,
        jobs=machines.jobs,
        trials=left,
        workers=machines.workers,
        verbose=machines.verbose,
    )


def check_output(output: Path, resume: bool) -> None:
    """Refuse what cannot be the folder of a search.

    Raises:
        OutputError: it holds a search and ``resume`` is off, or a run; or it cannot be written.
    """
    if isinstance(output, UrlPath):
        raise OutputError(
            f"{output} is no folder. Type --output with one on a disk that all machines share"
        )
    if (output / LAST).exists() and not (output / PLAN).exists():
        raise OutputError(f"{output} holds a run of stem train. Name another --output")
    check_folder(output, resume)
    if not resume and (output / PLAN).exists():
        raise OutputError(f"{output} already holds a search. Add --resume or name another --output")


def _check_device(machines: Machines) -> None:
    """Refuse a device that means nothing to a trial.

    Raises:
        DeviceError: with what to type.
    """
    if machines.cluster:
        check_device(machines.device)
    elif machines.device.startswith("cuda:"):
        number = machines.device.removeprefix("cuda:")
        raise DeviceError(
            f"Trials share all GPUs. To use one of them, type CUDA_VISIBLE_DEVICES={number} before "
            "the command, and --device cuda"
        )


def look(plan: Plan) -> tuple[str, ...]:
    """What there is to learn from, a line each, before anything is started.

    Raises:
        ConfigError: the network has other stems than the data.
        DataError: the data cannot be used, or there are no songs to validate with.
        UsageError: validation songs are given without data.
    """
    if plan.validation and not plan.data:
        raise UsageError("--validation needs --data: the songs made by formula have their own")
    folder, base = data_of(plan), plan.base
    with torch.device("meta"):
        model = registry.build(base.model.architecture, base.model.options)
    validation = tuple(map(Path, plan.validation))
    found = open_data(base, folder, validation, model.stems, model.sample_rate)
    if not found.validation:
        raise DataError(
            str(folder),
            [
                "trials are compared by validation songs, and there are none. Type --validation "
                "DIR, or --set data.validation_fraction=0.1 with more than one song"
            ],
        )
    return found.summary

"""One trial of a search on Ray Tune, and the resources it takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from model_zoo.catalogue.resolve import BEST, LAST
from model_zoo.errors import ClusterError, DeviceError, OutputError, StemError, describe_error
from model_zoo.option_names import command_line
from stemcli.cluster.nodes import Node, find_slots
from stemcli.engine.device import resolve_device
from stemcli.engine.events import Event, EventHandler
from trainers.cluster.job import TrainingJob
from trainers.config import Recipe
from trainers.data.synthetic import songs_for
from trainers.loop.checks import lock_folder
from trainers.loop.events import RunFinished, RunStarted, Validated
from trainers.loop.execution import SingleDevice
from trainers.loop.trainer import train
from trainers.search.plan import PLAN, TRIALS, Plan
from trainers.search.space import changed

CORES = 4
"""Cores of a trial if there are enough: small networks gain little from more."""

FEWEST = 2
"""Trials that share a machine without GPUs, if it has so many cores."""

SDR = "sdr"
"""Key of the score in the report of a validation."""


@dataclass(frozen=True)
class TrialResources:
    """Share of the cluster that each trial gets.

    Attributes:
        at_once: trials that run in parallel.
        cores: cores per worker.
        gpus: GPUs per worker, 0 or 1.
        workers: workers per trial.
    """

    at_once: int
    cores: int
    gpus: int
    workers: int = 1

    @property
    def per_trial(self) -> dict[str, float]:
        """Resources that Ray Tune reserves for a trial; several workers reserve theirs later."""
        if self.workers > 1:
            return {"cpu": 0, "memory": 1}  # a byte: Ray refuses an empty request
        return {"cpu": self.cores, "gpu": self.gpus}


def find_resources(
    nodes: Sequence[Node], device: str, jobs: int, trials: int, workers: int = 1
) -> TrialResources:
    """Share the machines: one worker per GPU, or equal shares of the cores without GPUs.

    Args:
        nodes: machines, as ``ray.nodes()`` describes them.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        jobs: workers that share the cores of a machine; 0 chooses.
        trials: number of trials to run.
        workers: workers per trial.

    Raises:
        DeviceError: a GPU was asked for, and there is none.
        ClusterError: the machines are too small for the workers of one trial.
    """
    # Head nodes often offer no cores.
    alive = [node for node in nodes if node["Alive"] and node["Resources"].get("CPU")]
    has_gpus = any(int(node["Resources"].get("GPU", 0)) for node in alive)
    if device == "cuda" and not has_gpus:
        raise DeviceError("Ray finds no GPU. Use --device auto or --device cpu")
    kind = "cuda" if has_gpus and device != "cpu" else "cpu"
    most = max((int(node["Resources"]["CPU"]) for node in alive), default=1)
    share = jobs or (1 if device == "mps" else max(FEWEST, most // CORES))
    share = min(share, -(-trials * workers // max(1, len(alive))))
    slots = find_slots(nodes, kind, max(1, share))
    cores = min((slot.cores for slot in slots), default=1)
    at_once = min(len(slots) // workers, trials)
    if workers > 1 and not at_once:
        raise ClusterError(
            f"There is room for {len(slots)} workers, and a trial has {workers}. Use --workers "
            f"{max(1, len(slots))}, or a larger --jobs where machines have more cores"
        )
    return TrialResources(max(1, at_once), max(1, cores), int(kind == "cuda"), workers)


PATIENCE = 30.0
"""Seconds to wait for a process that was killed to release the lock of its folder."""

TrialReport = dict[str, Any]
"""Plain values that a trial reports to Ray Tune."""


@dataclass(frozen=True)
class TrialContext:
    """Paths, device and resources of a trial on its machine.

    Attributes:
        output: absolute path of the folder of the search.
        directory: working directory, to which relative paths in a recipe refer.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        cores: cores per worker.
        gpus: GPUs per worker, 0 or 1.
        workers: workers per trial.
    """

    output: str
    directory: str
    device: str
    cores: int
    gpus: int = 0
    workers: int = 1

    @classmethod
    def here(cls, output: Path, device: str, resources: TrialResources) -> TrialContext:
        """The context with the paths of this process."""
        return cls(
            str(output.resolve()),
            str(Path.cwd()),
            device,
            resources.cores,
            resources.gpus,
            resources.workers,
        )


@command_line()
def run_trial(
    plan: Plan,
    context: TrialContext,
    number: int,
    values: Mapping[str, Any],
    report: Callable[[TrialReport], None],
) -> None:
    """Run a trial to its end and report its progress.

    Reports have the keys ``parameters`` and ``step`` once it has begun; ``step``, ``sdr``, ``best``
    and ``seconds`` for a validation; at last ``ended``, which is ``done`` or ``failed``, and
    ``reason``. Every error becomes such a report.

    Args:
        plan: plan of the search.
        context: context of the trial.
        number: number of the trial.
        values: changed values of the recipe by key.
        report: called with each report.
    """
    began, reasons = [time.monotonic()], ["all steps are done"]

    def on_event(event: Event) -> None:
        match event:
            case RunStarted():  # a worker group may start again
                began[0] = time.monotonic()
                report({"parameters": event.parameters, "step": event.first_step})
            case Validated():
                seconds = time.monotonic() - began[0]
                scores = {SDR: event.mean, "best": event.best_mean}
                report({"step": event.step, **scores, "seconds": seconds})
            case RunFinished():
                reasons[0] = event.reason

    try:
        train_trial(plan, context, number, values, on_event)
    except Exception as error:  # it must not end the other trials
        report({"ended": "failed", "reason": describe_error(error)})
    else:
        report({"ended": "done", "reason": reasons[0]})


def train_trial(
    plan: Plan, context: TrialContext, number: int, values: Mapping[str, Any], report: EventHandler
) -> Path:
    """Train one trial, from its last checkpoint if there is one.

    Raises:
        ClusterError: this machine does not see the folder of the search.
        StemError: as :func:`~trainers.loop.trainer.train`.
    """
    with suppress(OSError):  # another machine may lack it
        os.chdir(context.directory)
    output = Path(context.output)
    if not (output / PLAN).is_file():
        raise ClusterError(
            f"A machine of the cluster does not see {output}. Use --output with a folder on a "
            "disk that all of them share"
        )
    recipe = fitted(changed(plan.base, values, f"{plan.architecture}-{number:03}"), context.cores)
    folder = output / TRIALS / f"{number:03}"
    _wait_for(folder)
    validation = tuple(map(Path, plan.validation))
    if context.workers > 1:
        data = Path(plan.data) if plan.data else None
        return _train_on_workers(TrainingJob(recipe, data, validation, folder), context, report)
    torch.set_num_threads(threads(context.cores))
    strategy = SingleDevice(resolve_device(context.device))
    resume = (folder / LAST).exists()
    return train(recipe, data_of(plan), validation, folder, strategy, report, resume=resume)


def _train_on_workers(job: TrainingJob, context: TrialContext, report: EventHandler) -> Path:
    """Train a trial on several workers, which resume from its checkpoint by themselves."""
    from stemcli.cluster.nodes import list_nodes
    from trainers.cluster.capacity import WorkerGroupPlan, WorkerResources
    from trainers.cluster.job import WorkerCount
    from trainers.cluster.launch import train_on_cluster

    count = WorkerCount(context.workers, context.workers)
    resources = WorkerResources(context.cores, context.gpus)
    group = WorkerGroupPlan(count, resources, context.workers, list_nodes())
    train_on_cluster(job, group, report)
    return job.output / BEST


def fitted(recipe: Recipe, cores: int) -> Recipe:
    """Adapt a recipe to a share of a machine: loading data must not take other trials' cores.

    A checkpoint is saved at every validation, so that an interruption costs little. Neither changes
    the weights that come out.
    """
    loop = recipe.loop
    checkpoint_every = min(loop.checkpoint_every, recipe.validation.every)
    workers = min(loop.num_workers, cores - 1)
    return replace(
        recipe, loop=replace(loop, checkpoint_every=checkpoint_every, num_workers=workers)
    )


def threads(cores: int) -> int:
    """Number of threads of a trial: one per core, and no more than OMP_NUM_THREADS allows."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(allowed)) if allowed.isdecimal() and int(allowed) else cores


def data_of(plan: Plan) -> Path:
    """Folder of the training data; each machine renders the synthetic songs itself.

    Raises:
        OutputError: they cannot be written.
    """
    return Path(plan.data) if plan.data else songs_for(plan.base)


def _wait_for(folder: Path) -> None:
    """Wait until a process that was killed a moment ago has released the folder.

    Raises:
        OutputError: another run holds it.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with lock_folder(folder):
                return
        except OutputError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def process_lost(error: BaseException | None) -> StemError:
    """Return the error of a trial whose process has ended, from the one that Ray raised."""
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    cause = f" ({lines[0].rstrip('.')})" if lines else ""  # Ray does not always know one
    return StemError(
        f"its process ended, perhaps for lack of memory{cause}. Use a smaller --jobs, or --set "
        "loop.batch_size=N with a smaller number"
    )

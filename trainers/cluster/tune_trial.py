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
from stemcli.cluster.nodes import Node, find_slots
from stemcli.engine.device import resolve_device
from stemcli.engine.events import Event
from trainers.cluster.job import TrainingJob
from trainers.config import Recipe
from trainers.data.synthetic import songs_for
from trainers.loop.checks import lock_folder
from trainers.loop.events import EventHandler, RunFinished, RunStarted, Validated
from trainers.loop.execution import SingleDevice
from trainers.loop.trainer import train
from trainers.search.plan import PLAN, TRIALS, Plan
from trainers.search.space import changed

CORES = 4
"""Of a trial where there are enough: more speed up small networks little."""

FEWEST = 2
"""Trials that share a machine without GPUs, if it has so many cores."""


@dataclass(frozen=True)
class TrialResources:
    """Room for trials.

    Attributes:
        at_once: how many.
        cores: of each worker of each.
        gpus: of each worker, 0 or 1.
        workers: of each trial.
    """

    at_once: int
    cores: int
    gpus: int
    workers: int = 1

    @property
    def resources(self) -> dict[str, float]:
        """What Ray Tune keeps free for a trial; workers of its own find their room themselves."""
        if self.workers > 1:
            return {"cpu": 0, "memory": 1}  # a byte: Ray wants something
        return {"cpu": self.cores, "gpu": self.gpus}


def find_room(
    nodes: Sequence[Node], device: str, jobs: int, trials: int, workers: int = 1
) -> TrialResources:
    """One worker on each GPU; where there is none, a fair share of the cores for each.

    Args:
        nodes: machines, as ``ray.nodes()`` describes them.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        jobs: workers that share the cores of a machine; 0 chooses.
        trials: how many there are to run.
        workers: of each trial.

    Raises:
        DeviceError: GPUs are asked for, and there is none.
        ClusterError: there is no room for the workers of one trial.
    """
    # Heads often give no cores.
    alive = [node for node in nodes if node["Alive"] and node["Resources"].get("CPU")]
    has_gpus = any(int(node["Resources"].get("GPU", 0)) for node in alive)
    if device == "cuda" and not has_gpus:
        raise DeviceError("Ray finds no GPU. Type --device auto or --device cpu")
    kind = "cuda" if has_gpus and device != "cpu" else "cpu"
    most = max((int(node["Resources"]["CPU"]) for node in alive), default=1)
    share = jobs or (1 if device == "mps" else max(FEWEST, most // CORES))
    share = min(share, -(-trials * workers // max(1, len(alive))))
    slots = find_slots(nodes, kind, max(1, share))
    cores = min((slot.cores for slot in slots), default=1)
    at_once = min(len(slots) // workers, trials)
    if workers > 1 and not at_once:
        raise ClusterError(
            f"There is room for {len(slots)} workers, and a trial has {workers}. Type --workers "
            f"{max(1, len(slots))}, or a larger --jobs where machines have more cores"
        )
    return TrialResources(max(1, at_once), max(1, cores), int(kind == "cuda"), workers)


PATIENCE = 30.0
"""Seconds to wait for a process that was killed to let go of its folder."""

Answer = dict[str, Any]
"""What a trial reports: plain values that travel between machines."""


@dataclass(frozen=True)
class TrialContext:
    """Where trials run.

    Attributes:
        output: absolute path of the folder of the search.
        directory: that relative paths in a recipe begin from.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        cores: of each worker.
        gpus: of each worker, 0 or 1.
        workers: of each trial.
    """

    output: str
    directory: str
    device: str
    cores: int
    gpus: int = 0
    workers: int = 1

    @classmethod
    def here(cls, output: Path, device: str, room: TrialResources) -> TrialContext:
        """The place that this process means by a path."""
        return cls(
            str(output.resolve()), str(Path.cwd()), device, room.cores, room.gpus, room.workers
        )


def run_trial(
    plan: Plan,
    place: TrialContext,
    number: int,
    values: Mapping[str, Any],
    answer: Callable[[Answer], None],
) -> None:
    """Run a trial to its end, and answer how it goes.

    Answers have the keys ``parameters`` and ``step`` once it has begun; ``step``, ``sdr``, ``best``
    and ``seconds`` for a validation; at last ``ended``, which is ``done`` or ``failed``, and
    ``reason``. Whatever fails is such an answer.

    Args:
        plan: what is searched.
        place: where this is.
        number: of the trial.
        values: keys of the recipe, and what they become.
        answer: told.
    """
    began, reasons = [time.monotonic()], ["all steps are done"]

    def report(event: Event) -> None:
        match event:
            case RunStarted():  # a crew may begin anew
                began[0] = time.monotonic()
                answer({"parameters": event.parameters, "step": event.first_step})
            case Validated():
                seconds = time.monotonic() - began[0]
                answer(
                    {
                        "step": event.step,
                        "sdr": event.mean,
                        "best": event.best_mean,
                        "seconds": seconds,
                    }
                )
            case RunFinished():
                reasons[0] = event.reason

    try:
        train_trial(plan, place, number, values, report)
    except Exception as error:  # whatever it is, the others go on
        answer({"ended": "failed", "reason": describe_error(error)})
    else:
        answer({"ended": "done", "reason": reasons[0]})


def train_trial(
    plan: Plan, place: TrialContext, number: int, values: Mapping[str, Any], report: EventHandler
) -> Path:
    """Train one trial, from its last checkpoint where there is one.

    Raises:
        ClusterError: this machine does not see the folder of the search.
        StemError: whatever ends a run.
    """
    with suppress(OSError):  # another machine may lack it
        os.chdir(place.directory)
    output = Path(place.output)
    if not (output / PLAN).is_file():
        raise ClusterError(
            f"A machine of the cluster does not see {output}. Type --output with a folder on a "
            "disk that all of them share"
        )
    recipe = fitted(changed(plan.base, values, f"{plan.architecture}-{number:03}"), place.cores)
    folder = output / TRIALS / f"{number:03}"
    _wait_for(folder)
    validation = tuple(map(Path, plan.validation))
    if place.workers > 1:
        data = Path(plan.data) if plan.data else None
        order = TrainingJob(recipe, data, validation, folder)
        return _train_spread(order, place, report)
    torch.set_num_threads(threads(place.cores))
    worker = SingleDevice(resolve_device(place.device))
    resume = (folder / LAST).exists()
    return train(recipe, data_of(plan), validation, folder, worker, report, resume=resume)


def _train_spread(order: TrainingJob, place: TrialContext, report: EventHandler) -> Path:
    """Let several workers train a trial together; they go on from its checkpoint by themselves."""
    from stemcli.cluster.nodes import list_nodes
    from trainers.cluster.capacity import WorkerGroupPlan, WorkerResources
    from trainers.cluster.job import WorkerCount
    from trainers.cluster.launch import train_on_cluster

    count = WorkerCount(place.workers, place.workers)
    crew = WorkerGroupPlan(
        count, WorkerResources(place.cores, place.gpus), place.workers, list_nodes()
    )
    train_on_cluster(order, crew, report)
    return order.place / BEST


def fitted(recipe: Recipe, cores: int) -> Recipe:
    """The recipe for a share of a machine: what prepares clips must not take other trials' cores.

    It saves at every validation, so that little is lost of a trial that is interrupted. Neither
    changes what is learned.
    """
    loop = recipe.loop
    checkpoint_every = min(loop.checkpoint_every, recipe.validation.every)
    workers = min(loop.num_workers, cores - 1)
    return replace(
        recipe, loop=replace(loop, checkpoint_every=checkpoint_every, num_workers=workers)
    )


def threads(cores: int) -> int:
    """Threads of a trial: one for each core, no more than OMP_NUM_THREADS allows."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(allowed)) if allowed.isdecimal() and int(allowed) else cores


def data_of(plan: Plan) -> Path:
    """What a search learns from; every machine makes the songs made by formula itself.

    Raises:
        OutputError: they cannot be written.
    """
    return Path(plan.data) if plan.data else songs_for(plan.base)


def _wait_for(folder: Path) -> None:
    """Let a process that was killed a moment ago let go of the folder.

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


def lost(error: BaseException | None) -> StemError:
    """Why a trial's process is gone, as a sentence."""
    lines = [line.strip() for line in str(error or "").splitlines() if line.strip()]
    cause = lines[0].rstrip(".") if lines else "without a word"
    return StemError(
        f"its process ended, perhaps for want of memory ({cause}). Type a smaller --jobs, or --set "
        "loop.batch_size with a smaller number"
    )

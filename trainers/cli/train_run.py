"""Runs a training on this machine, on a cluster or as a dry run, and displays it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from model_zoo.errors import MissingExtraError, OutOfMemoryError, OutputError, UsageError
from model_zoo.shell import quoted
from stemcli.cli.console import Console
from stemcli.cli.formatting import clock, size
from stemcli.engine.events import EventHandler
from stemcli.remote_path import UrlPath, absolute
from trainers.cluster.job import WAIT, TrainingJob, WorkerCount

if TYPE_CHECKING:
    import torch

    from trainers.config import Recipe
    from trainers.loop.dry_run import DryRunFinished
    from trainers.loop.events import RunStarted


@dataclass(frozen=True)
class ClusterOptions:
    """Cluster options of the command line.

    Attributes:
        cluster: whether to train on one.
        workers: ``N``, ``MIN:MAX`` or None.
        wait: seconds to wait for free resources; None for :data:`WAIT` on a cluster, 0 on this
            machine.
        fsdp: whether the network is sharded over the workers.
    """

    cluster: bool
    workers: str | None
    wait: float | None
    fsdp: bool

    def check(self, data: Path | None, output: Path, dry_run: bool) -> None:
        """Reject combinations of options that contradict each other.

        Raises:
            UsageError: an option needs a cluster or cannot be used with one, or there are no songs.
        """
        given = {"--workers": self.workers, "--wait": self.wait, "--fsdp": self.fsdp or None}
        used = [name for name, value in given.items() if value is not None]
        if self.cluster and dry_run:
            raise UsageError("--dry-run runs on this machine only. Leave out --cluster")
        if self.workers is not None:
            WorkerCount.parse(self.workers)
        if self.cluster:
            return
        if used:
            verb = "needs" if len(used) == 1 else "need"
            raise UsageError(f"{' and '.join(used)} {verb} a cluster. Add --cluster")
        if isinstance(output, UrlPath):
            raise UsageError(f"--output {output} is not a local folder. Add --cluster")
        if data is None:
            raise UsageError(
                "There are no songs to train on. Add --data DIR with your songs, or try: "
                "stem data render songs"
            )


def train_clustered(
    job: TrainingJob, options: ClusterOptions, device: str, console: Console, report: EventHandler
) -> None:
    """Train on a cluster; the run folder then has the same files as that of a local run.

    Raises:
        MissingExtraError: Ray is not installed.
        StemError: as :func:`trainers.cluster.launch.run_on_cluster` and
            :func:`trainers.loop.trainer.train`.
    """
    try:
        from trainers.cluster.launch import run_on_cluster
    except ImportError as error:
        raise MissingExtraError("Ray 2.58 or newer, which --cluster needs,", "cluster") from error
    from trainers.loop.checks import lock_folder

    announce(console)
    job = _with_absolute_paths(job)
    remote = isinstance(job.output, UrlPath)
    with nullcontext() if remote else lock_folder(job.output):
        # No machine can join a Ray that was started here for this run.
        default = WAIT if os.environ.get("RAY_ADDRESS") else 0.0
        wait = default if options.wait is None else options.wait
        run_on_cluster(job, options.workers or "", wait, device, report, verbose=console.verbose)


def announce(console: Console, alone: bool = False) -> None:
    """Print that Ray is being started or joined, which takes seconds."""
    address = "" if alone else os.environ.get("RAY_ADDRESS")
    console.line(f"Joining the cluster at {address}" if address else "Starting Ray")


def check_output(output: Path, data: Path | None, resume: bool) -> None:
    """Check that a folder can be the output of this run.

    Raises:
        OutputError: the folder already holds a run and ``resume`` is off, holds a search, or
            is not writable.
        UsageError: there is nothing to resume, or ``--data`` is missing for a run that trained on
            real songs.
        StorageError: the folder cannot be reached.
    """
    from model_zoo.catalogue.resolve import LAST, no_run
    from trainers.loop.checks import check_folder, run_exists_message
    from trainers.search.plan import PLAN

    if (output / PLAN).exists():
        raise OutputError(f"{output} holds a search of stem tune. Name another --output")
    if not isinstance(output, UrlPath):
        check_folder(output, resume)
    elif not resume and (output / LAST).exists():
        raise OutputError(run_exists_message(output))
    if resume and not (output / LAST).exists():
        raise no_run(output)
    if resume and data is None:
        _check_songs(output)


def _check_songs(output: Path) -> None:
    """Refuse to resume a run of real songs with synthetic ones."""
    from model_zoo.catalogue.install import read_summary
    from model_zoo.catalogue.resolve import SUMMARY
    from trainers.data.synthetic import is_sample_set

    if not (output / SUMMARY).exists():
        return
    with nearby(output, SUMMARY) as folder:
        learned = read_summary(folder).data
    if learned and not is_sample_set(learned):
        raise UsageError(f"{output} was trained on {learned}. Add --data with that folder")


def _with_absolute_paths(job: TrainingJob) -> TrainingJob:
    """Return the job with absolute paths, which are the same on all machines."""
    from model_zoo.catalogue.names import is_path

    origin = job.origin
    return replace(
        job,
        data=absolute(job.data) if job.data else None,
        validation=tuple(map(absolute, job.validation)),
        output=absolute(job.output),
        origin=os.path.abspath(origin) if is_path(origin) else origin,
    )


@contextmanager
def nearby(run: Path, *names: str) -> Iterator[Path]:
    """Yield the folder of a run or, if it is behind a URL, a local copy of some of its files.

    Raises:
        StorageError: the files cannot be reached.
    """
    if not isinstance(run, UrlPath):
        yield run
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if (run / name).exists():
                (run / name).fetch(Path(folder) / name)
        yield Path(folder)


def advice(learned: Path | str, objective: str) -> str:
    """Return the command to run next with a trained network.

    Args:
        learned: folder of the run, or name of the exported model.
        objective: name of the training objective.
    """
    from model_zoo.catalogue.install import PRETRAINING
    from model_zoo.catalogue.names import as_typed
    from model_zoo.catalogue.resolve import BEST
    from stemcli.engine.models import use_of
    from trainers.objectives import OBJECTIVES

    if isinstance(learned, UrlPath):
        best = learned / BEST
        return f"Try: stem models add FILE --name NAME, with a copy of {best} on this machine"
    model = quoted(as_typed(learned) if isinstance(learned, Path) else learned)
    if objective in PRETRAINING:
        return f"Try: stem train --data DIR --from {model}"
    return f"Try: {use_of(model, OBJECTIVES[objective].roles[0])}"


def train_here(job: TrainingJob, device: str, resume: bool, report: EventHandler) -> None:
    """Train on this machine.

    Raises:
        DeviceError: this machine has no such device.
        OutOfMemoryError: the network cannot fit in its memory.
        StemError: as :func:`trainers.loop.trainer.train`.
    """
    from stemcli.engine.device import resolve_device
    from trainers.loop.checkpoint import check_checkpoint
    from trainers.loop.checks import check_folder
    from trainers.loop.execution import SingleDevice
    from trainers.loop.trainer import train

    assert job.data, "checked by ClusterOptions"
    worker = SingleDevice(resolve_device(device))
    check_folder(job.output, resume)
    if resume:
        check_checkpoint(job.recipe.model, job.output)  # names a damaged recipe of the run
    check_memory(job.recipe, worker.device)
    given = (job.recipe, job.data, job.validation, job.output, worker, report)
    train(*given, resume=resume, origin=job.origin)


def train_dry_run(job: TrainingJob, device: str, resume: bool, console: Console) -> None:
    """Run two steps on this machine and report what the full run will need.

    Raises:
        OutOfMemoryError: the network cannot fit in the memory.
        OutputError: the disk is too full, or the output folder is not writable.
        StemError: as :func:`trainers.loop.dry_run.dry_run`.
    """
    from model_zoo.catalogue.resolve import LAST
    from stemcli.engine.device import resolve_device
    from trainers.loop import dry_run
    from trainers.loop.checks import check_folder, run_exists_message
    from trainers.loop.execution import SingleDevice

    assert job.data, "checked by ClusterOptions"
    worker = SingleDevice(resolve_device(device))
    check_folder(job.output, resume=True)  # an existing run is fine: nothing is written
    console.line(f"Building {job.recipe.model.architecture} and running {dry_run.STEPS} steps")
    check_memory(job.recipe, worker.device)
    given = (job.recipe, job.data, job.validation, worker)
    started, finished = dry_run.dry_run(*given, origin=job.origin)
    show_dry_run(started, finished, str(job.data), console)
    check_room(job.output, finished.checkpoint)
    if not resume and (job.output / LAST).exists():
        console.line(run_exists_message(job.output))


def add_to_zoo(run: Path, name: str, overwrite: bool, console: Console) -> str:
    """Add the best weights of a run to the user's models; returns the model's name.

    Raises:
        StemError: as :func:`model_zoo.catalogue.install.add_run`.
    """
    from model_zoo.catalogue.install import add_run
    from model_zoo.catalogue.resolve import BEST, SUMMARY

    with nearby(run, BEST, SUMMARY) as folder:
        card = add_run(folder / BEST, name=name, overwrite=overwrite)
    console.document({"event": "model_added", "card": card.to_dict()})
    return card.name


COPIES = 2
"""A checkpoint and its replacement exist side by side while the new one is written."""


def show_dry_run(started: RunStarted, found: DryRunFinished, data: str, console: Console) -> None:
    """Print the result of a dry run as JSON and as lines."""
    console.document(found.to_dict() | {"run": started.to_dict()})
    for line in dry_run_lines(started, found, data):
        console.result(line)


def dry_run_lines(started: RunStarted, found: DryRunFinished, data: str) -> Iterator[str]:
    """Yield the lines that report a dry run."""
    from trainers.cli.dashboard import percent
    from trainers.cli.display import facts

    yield from facts(started, data)
    share = found.waited / found.seconds_per_step
    yield f"Step: {found.seconds_per_step:.2f} s, {percent(share)} of it waiting for data"
    if found.seconds_per_song is not None:
        yield f"Validation: {found.seconds_per_song:.1f} s a song"
    on_gpu = found.device_memory
    yield f"Memory: {size(found.memory)}" + (f", GPU memory {size(on_gpu)}" if on_gpu else "")
    yield f"Checkpoint: {size(found.checkpoint)}"
    yield f"Full run: {clock(3600 * found.hours)}, {found.steps:,} steps"


def check_memory(recipe: Recipe, device: torch.device) -> None:
    """Refuse a run that the system would kill for lack of memory.

    Raises:
        OutOfMemoryError: weights, gradients and optimizer state need more than is free.
    """
    from trainers.loop.memory import free_memory, least_memory

    needed, free = least_memory(recipe), free_memory(device)
    if free is not None and needed > free:
        raise OutOfMemoryError(
            f"Weights, gradients and optimizer state of recipe {recipe.name} need {size(needed)},"
            f" and {device} has {size(free)} of free memory. Use a smaller network, e.g. --recipe"
            " quick, or several workers that share it: --cluster --workers N --fsdp"
        )


def check_room(output: Path, checkpoint: int) -> None:
    """Check that the disk has room for a run.

    Raises:
        OutputError: less is free than two checkpoints of ``checkpoint`` bytes need.
    """
    place = next(folder for folder in (output, *output.absolute().parents) if folder.is_dir())
    free, needed = shutil.disk_usage(place).free, COPIES * checkpoint
    if free < needed:
        raise OutputError(
            f"{place} has {size(free)} free and the checkpoints of a run need {size(needed)}. "
            "Use --output with a folder on another disk"
        )

"""Runs a training here, on a cluster or as a dry run, and shows it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from model_zoo.errors import MissingExtraError, OutputError, UsageError
from stemcli.cli.console import Console
from stemcli.cli.formatting import clock, quoted, size
from stemcli.remote_path import UrlPath, absolute
from trainers.cli.dashboard import percent
from trainers.cli.display import facts
from trainers.cluster.job import WAIT, TrainingJob, WorkerCount
from trainers.loop.dry_run import DryRunFinished
from trainers.loop.events import EventHandler, RunStarted


@dataclass(frozen=True)
class ClusterOptions:
    """What was typed about a cluster.

    Attributes:
        cluster: whether to train on one.
        workers: ``N``, ``MIN:MAX`` or None.
        wait: seconds for room to appear; None for :data:`WAIT`, and for none on this machine alone.
        fsdp: whether each worker holds a part of the network.
    """

    cluster: bool
    workers: str | None
    wait: float | None
    fsdp: bool

    def check(self, data: Path | None, output: Path, dry_run: bool) -> None:
        """Refuse what does not go together.

        Raises:
            UsageError: an option wants a cluster, or a cluster does not want it.
        """
        typed = {"--workers": self.workers, "--wait": self.wait, "--fsdp": self.fsdp or None}
        lonely = [name for name, value in typed.items() if value is not None]
        if self.cluster and dry_run:
            raise UsageError("--dry-run takes its steps on this machine. Leave out --cluster")
        if self.workers is not None:
            WorkerCount.parse(self.workers)
        if self.cluster:
            return
        if lonely:
            verb = "wants" if len(lonely) == 1 else "want"
            raise UsageError(f"{' and '.join(lonely)} {verb} a cluster. Add --cluster")
        if isinstance(output, UrlPath):
            raise UsageError(f"--output {output} is no folder of this machine. Add --cluster")
        if data is None:
            raise UsageError(
                "Nothing to learn from. Type --data DIR with the folder of your songs; "
                "stem data render songs makes some to try with"
            )


def train_clustered(
    job: TrainingJob, wish: ClusterOptions, device: str, console: Console, report: EventHandler
) -> None:
    """Train on a cluster; the folder of the run then holds what a run on one machine leaves.

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
    job = _everywhere(job)
    place = job.place
    with nullcontext() if isinstance(place, UrlPath) else lock_folder(place):
        # Nothing is added to a cluster of this machine alone.
        usual = WAIT if os.environ.get("RAY_ADDRESS") else 0.0
        wait = usual if wish.wait is None else wish.wait
        run_on_cluster(job, wish.workers or "", wait, device, report, verbose=console.verbose)


def announce(console: Console, alone: bool = False) -> None:
    """Say what takes the next seconds."""
    address = "" if alone else os.environ.get("RAY_ADDRESS")
    console.line(f"Joining the cluster at {address}" if address else "Starting Ray")


def check_place(output: Path, data: Path | None, resume: bool) -> None:
    """Refuse what cannot be the folder of this run.

    Raises:
        OutputError: it already holds a run and ``resume`` is off, or cannot be written.
        UsageError: there is nothing to resume from, or the run learned from songs that were not
            named again.
        StorageError: it cannot be reached.
    """
    from model_zoo.catalogue.resolve import LAST, no_run
    from trainers.loop.checks import check_folder
    from trainers.search.plan import PLAN

    if (output / PLAN).exists():
        raise OutputError(f"{output} holds a search of stem tune. Name another --output")
    if not isinstance(output, UrlPath):
        check_folder(output, resume)
    elif not resume and (output / LAST).exists():
        raise OutputError(f"{output} already holds a run. Add --resume or name another --output.")
    if resume and not (output / LAST).exists():
        raise no_run(output)
    if resume and data is None:
        _check_songs(output)


def _check_songs(output: Path) -> None:
    """A run of real songs must not go on with made ones."""
    from model_zoo.catalogue.install import read_summary
    from model_zoo.catalogue.resolve import SUMMARY
    from trainers.data.synthetic import is_sample_set

    if not (output / SUMMARY).exists():
        return
    with nearby(output, SUMMARY) as folder:
        learned = read_summary(folder).data
    if learned and not is_sample_set(learned):
        raise UsageError(f"{output} learned from {learned}. Type --data with that folder again")


def _everywhere(job: TrainingJob) -> TrainingJob:
    """The job with absolute paths, which have to be the same on all machines."""
    from model_zoo.catalogue.resolve import is_path

    origin = job.origin
    return replace(
        job,
        data=absolute(job.data) if job.data else None,
        validation=tuple(map(absolute, job.validation)),
        place=absolute(job.place),
        origin=os.path.abspath(origin) if is_path(origin) else origin,
    )


@contextmanager
def nearby(run: Path, *names: str) -> Iterator[Path]:
    """The folder of a run, or a copy of some of its files where it lies behind a URL.

    Raises:
        StorageError: it cannot be reached.
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
    """What to type next, to hear what was learned by an objective, or to go on from it.

    Args:
        learned: the folder of the run, or the name of the model that it became.
        objective: by which.
    """
    from model_zoo.catalogue.install import PRETRAINING
    from model_zoo.catalogue.resolve import BEST, as_typed
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
        DeviceError: it has no such device.
        StemError: as :func:`trainers.loop.trainer.train`.
    """
    from stemcli.engine.device import resolve_device
    from trainers.loop.execution import SingleDevice
    from trainers.loop.trainer import train

    assert job.data, "asked for before"
    worker = SingleDevice(resolve_device(device))
    given = (job.recipe, job.data, job.validation, job.place, worker, report)
    train(*given, resume=resume, origin=job.origin)


def train_dry_run(job: TrainingJob, device: str, resume: bool, console: Console) -> None:
    """Take two steps on this machine and say what the run will need.

    Raises:
        OutputError: there is no room for it, or its folder cannot be written.
        StemError: as :func:`trainers.loop.dry_run.dry_run`.
    """
    from model_zoo.catalogue.resolve import LAST
    from stemcli.engine.device import resolve_device
    from trainers.loop import dry_run
    from trainers.loop.checks import check_folder
    from trainers.loop.execution import SingleDevice

    assert job.data, "asked for before"
    worker = SingleDevice(resolve_device(device))
    check_folder(job.place, resume=True)  # nothing is written into the run that may be there
    given = (job.recipe, job.data, job.validation, worker)
    started, found = dry_run.dry_run(*given, origin=job.origin)
    show_dry_run(started, found, str(job.data), console)
    check_room(job.place, found.checkpoint)
    if not resume and (job.place / LAST).exists():
        console.line(f"{job.place} already holds a run. Add --resume or name another --output")


def add_to_zoo(run: Path, name: str, overwrite: bool, console: Console) -> str:
    """Put the best weights of a run into the user's zoo; returns the model's name.

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
"""Checkpoints that lie side by side while one replaces the other."""


def show_dry_run(started: RunStarted, found: DryRunFinished, data: str, console: Console) -> None:
    """Tell programs and people."""
    console.document(found.to_dict() | {"run": started.to_dict()})
    for line in dry_run_lines(started, found, data):
        console.result(line)


def dry_run_lines(started: RunStarted, found: DryRunFinished, data: str) -> Iterator[str]:
    """A line for everything that somebody wants to know before a long run."""
    yield from facts(started, data)
    share = found.waited / found.seconds_per_step
    yield f"A step: {found.seconds_per_step:.2f} s, {percent(share)} of it waiting for data"
    if found.seconds_per_song is not None:
        yield f"A validation: {found.seconds_per_song:.1f} s a song"
    on_gpu = found.device_memory
    yield f"Memory: {size(found.memory)}" + (f", on the GPU {size(on_gpu)}" if on_gpu else "")
    yield f"A checkpoint: {size(found.checkpoint)}"
    yield f"The whole run: {clock(3600 * found.hours)}, {found.steps:,} steps"


def check_room(output: Path, checkpoint: int) -> None:
    """Refuse a folder on a disk without room for a run.

    Raises:
        OutputError: there is less than checkpoints of ``checkpoint`` bytes need.
    """
    place = next(folder for folder in (output, *output.absolute().parents) if folder.is_dir())
    free, needed = shutil.disk_usage(place).free, COPIES * checkpoint
    if free < needed:
        raise OutputError(
            f"{place} has {size(free)} free and the checkpoints of a run need {size(needed)}. "
            "Type --output with a folder on another disk"
        )

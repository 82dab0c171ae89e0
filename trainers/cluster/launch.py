"""Start a run on a cluster, show how it goes, and end it in peace.

::

    train_on_cluster ──▶ TorchTrainer.fit ──▶ controller ──▶ work, on each machine
            └────────────── Mailbox ◀── Post ◀─────────────────┘

Ray Train keeps the workers: it starts them, begins anew when some are lost, and takes late machines
in where their number is a range. A crew that begins goes on from the last checkpoint.
"""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.v2.torch.torch_trainer import TorchTrainer

from model_zoo import errors
from model_zoo.errors import ClusterError, StemError
from stemcli.engine.events import Event
from trainers.cluster.events import CrewFailed, CrewLeft, CrewLost, CrewStarted
from trainers.cluster.network import Network
from trainers.cluster.plan import Plan
from trainers.cluster.post import Mailbox
from trainers.cluster.watch import Saver, Watcher
from trainers.cluster.worker import work
from trainers.config import Recipe
from trainers.loop.events import Report, RunStarted

LISTEN = 0.5
"""Seconds between two looks at whether Ray still works."""

LOOK = 10.0
"""Seconds between two looks at the cluster for room for another worker."""

FAREWELL = 30.0
"""Seconds for Ray to end workers that have said goodbye."""

IN_A_ROW = 3
"""Crews that may be lost one after the other without a new checkpoint."""


@dataclass(frozen=True)
class Order:
    """What is asked of a cluster.

    Attributes:
        recipe: what to do.
        data: folder with what is learned from; None for songs made by formula.
        validation: folders with songs to be judged by.
        place: folder of the run, absolute.
        origin: model or weights file to start from.
        fsdp: whether each worker holds a part of the network.
    """

    recipe: Recipe
    data: Path | None
    validation: tuple[Path, ...]
    place: Path
    origin: str = ""
    fsdp: bool = False


@dataclass(frozen=True)
class Crew:
    """The workers that are asked for.

    Attributes:
        least: as few as the run goes on with.
        most: as many as it takes.
        cores: of each.
        gpus: of each, 0 or 1.
    """

    least: int
    most: int
    cores: int
    gpus: int

    def scaling(self) -> ScalingConfig:
        """The same in Ray's words."""
        count = self.least if self.least == self.most else (self.least, self.most)
        resources: dict[str, float] = {"CPU": self.cores}
        if self.gpus:
            resources["GPU"] = self.gpus
        return ScalingConfig(
            num_workers=count,
            use_gpu=self.gpus > 0,
            resources_per_worker=resources,
            elastic_resize_monitor_interval_s=LOOK,
        )


def train_on_cluster(order: Order, crew: Crew, report: Report) -> None:
    """Train on the cluster that this process has joined, until the run is over.

    Args:
        order: what is asked for.
        crew: by whom.
        report: told what the loop tells, and the events of :mod:`trainers.cluster.events`.

    Raises:
        StemError: what a worker met that another try would meet again.
        ClusterError: crew after crew was lost, or Ray itself failed.
        KeyboardInterrupt: it was interrupted; the run is saved.
        SystemExit: the same, by SIGTERM.
    """
    mailbox = Mailbox()
    plan = Plan(
        **vars(order),
        name=uuid4().hex,
        post=mailbox.actor,
        cores=crew.cores if not crew.gpus else 1,
    )
    with tempfile.TemporaryDirectory(prefix="stem-ray-", ignore_cleanup_errors=True) as folder:
        fit = _Fit(_trainer(plan, crew, folder))
        listener = _Listener(mailbox, fit, report)
        try:
            listener.until_the_end()
        except (KeyboardInterrupt, SystemExit):
            if listener.at_work:
                mailbox.order("stop")
                listener.until_the_end()
            raise
        fit.join(FAREWELL)


def _trainer(plan: Plan, crew: Crew, folder: str) -> TorchTrainer:
    """Ray's trainer; it begins anew for ever, since :class:`_Listener` knows when to give up."""
    callbacks: list[Any] = [Watcher(plan.post), Saver(plan.post)]
    return TorchTrainer(
        work,
        train_loop_config={"plan": plan},
        torch_config=Network(),
        scaling_config=crew.scaling(),
        run_config=RunConfig(
            name=plan.name,
            storage_path=folder,
            failure_config=FailureConfig(max_failures=-1),
            callbacks=callbacks,
            logging_config=LoggingConfig(log_level="INFO"),
        ),
    )


class _Fit:
    """Ray's trainer in a thread of its own, so that this one can listen.

    In the main thread Ray would answer Ctrl-C itself, and end the workers before they can save.
    """

    def __init__(self, trainer: TorchTrainer) -> None:
        self._trainer = trainer
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ray_train", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._trainer.fit()
        except BaseException as error:
            self.error = error


class _Listener:
    """Reads the letters of a run until one of them is the last.

    Attributes:
        at_work: whether a crew is together.
    """

    def __init__(self, mailbox: Mailbox, fit: _Fit, report: Report) -> None:
        self._mailbox, self._fit, self._report = mailbox, fit, report
        self.at_work = False
        self._first_step = -1
        self._losses = 0

    def until_the_end(self) -> None:
        """Report all letters up to the workers' goodbye."""
        while True:
            is_over = self._fit.is_over  # asked first: letters may come before it ends
            letters = self._mailbox.take(LISTEN)
            for letter in letters:
                self._read(letter)
                if isinstance(letter, CrewLeft):
                    return
            if is_over and not letters:
                self._raise_from_ray()

    def _read(self, letter: Event) -> None:
        if isinstance(letter, CrewFailed):
            raise _revived(letter)
        self._report(letter)
        match letter:
            case CrewStarted():
                self.at_work = True
            case RunStarted():
                if letter.first_step > self._first_step:
                    self._losses = 0
                self._first_step = letter.first_step
            case CrewLost():
                self._lose(letter)

    def _lose(self, letter: CrewLost) -> None:
        self.at_work = False
        self._losses += 1
        if self._losses == IN_A_ROW:
            raise ClusterError(
                f"{IN_A_ROW} times in a row workers were lost before the run was saved again "
                f"({letter.reason}). Look at the machines with ray status, let the run be saved "
                "more often with --set loop.save_every=N, and type the same with --resume"
            )

    def _raise_from_ray(self) -> NoReturn:
        error = self._fit.error
        reason = str(error).strip().splitlines()[-1] if error else "it ended without a word"
        raise ClusterError(
            f"Ray Train failed ({reason}). Type the same with --resume, if the run has saved a "
            "checkpoint, and with --verbose to see what Ray says"
        ) from error


def _revived(letter: CrewFailed) -> StemError:
    """The error that a worker met, of the class that it had there."""
    kind = getattr(errors, letter.kind, StemError)
    error: StemError = kind.__new__(kind)
    StemError.__init__(error, f"{letter.message}")
    return error

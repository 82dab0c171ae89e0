"""Start a run on a cluster, show how it goes, and end it in peace.

::

    train_on_cluster ──▶ TorchTrainer.fit ──▶ controller ──▶ work, on each machine
            └────────────── Mailbox ◀── Post ◀─────────────────┘

Ray Train keeps the workers: it starts them, begins anew when some are lost, and takes late machines
in where their number is a range. A crew that begins goes on from the last checkpoint.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable
from typing import Any, NoReturn
from uuid import uuid4

from ray.train.v2._internal.constants import WORKER_GROUP_START_TIMEOUT_S_ENV_VAR
from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.v2.torch.torch_trainer import TorchTrainer

from model_zoo import errors
from model_zoo.errors import ClusterError, StemError
from stemcli.engine.events import Event
from stemcli.version import version
from trainers.cluster.assignment import Assignment
from trainers.cluster.events import CrewFailed, CrewLeft, CrewLost, CrewPaused, CrewStarted
from trainers.cluster.network import Network
from trainers.cluster.order import Order
from trainers.cluster.post import Mailbox
from trainers.cluster.waiting import Watch
from trainers.cluster.watch import Saver, Watcher
from trainers.cluster.worker import work
from trainers.cluster.workers import Crew
from trainers.loop.events import Report, RunStarted

LISTEN = 0.5
"""Seconds between two looks at whether Ray still works."""

LOOK = 10.0
"""Seconds between two looks at the cluster for room for another worker."""

START_TIMEOUT_S = "10"
"""Seconds that Ray waits for room that it believes to be there."""

FAREWELL = 30.0
"""Seconds for Ray to end workers that have said goodbye."""

IN_A_ROW = 3
"""Crews that may be lost one after the other without a new checkpoint."""


def train_on_cluster(order: Order, crew: Crew, report: Report) -> None:
    """Train on the cluster that this process has joined, until the run is over.

    Args:
        order: what is asked for.
        crew: the workers that do it.
        report: told what the loop tells, and the events of :mod:`trainers.cluster.events`.

    Raises:
        StemError: what a worker met that another try would meet again.
        ClusterError: crew after crew was lost, or Ray itself failed.
        KeyboardInterrupt: it was interrupted; the run is saved.
        SystemExit: the same, by SIGTERM.
    """
    _be_quick_to_look_again()
    mailbox = Mailbox()
    assignment = Assignment(
        **vars(order),
        name=uuid4().hex,
        post=mailbox.actor,
        cores=crew.share.cores,
        version=version(),
    )
    with tempfile.TemporaryDirectory(prefix="stem-ray-", ignore_cleanup_errors=True) as folder:
        fit = _Fit(_trainer(assignment, crew, folder))
        listener = _Listener(mailbox, fit, report, Watch(crew))
        try:
            listener.until_the_end()
        except (KeyboardInterrupt, SystemExit):
            mailbox.order("stop")
            listener.until_nobody_works()
            raise
        fit.join(FAREWELL)


def _be_quick_to_look_again() -> None:
    """Ray counts a lost machine for some time; for as long it waits in vain for room there."""
    os.environ.setdefault(WORKER_GROUP_START_TIMEOUT_S_ENV_VAR, START_TIMEOUT_S)


def _trainer(assignment: Assignment, crew: Crew, folder: str) -> TorchTrainer:
    """Ray's trainer; it begins anew for ever, since :class:`_Listener` knows when to give up."""
    callbacks: list[Any] = [Watcher(assignment.post), Saver(assignment.post)]
    return TorchTrainer(
        work,
        train_loop_config={"assignment": assignment},
        torch_config=Network(),
        scaling_config=scaling(crew),
        run_config=RunConfig(
            name=assignment.name,
            storage_path=folder,
            failure_config=FailureConfig(max_failures=-1),
            callbacks=callbacks,
            logging_config=LoggingConfig(log_level="INFO"),
        ),
    )


def scaling(crew: Crew) -> ScalingConfig:
    """A crew in Ray's words."""
    count = crew.count
    return ScalingConfig(
        num_workers=(count.least, count.most) if count.is_elastic else count.least,
        use_gpu=crew.share.gpus > 0,
        resources_per_worker=crew.share.resources,
        elastic_resize_monitor_interval_s=LOOK,
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

    def __init__(self, mailbox: Mailbox, fit: _Fit, report: Report, watch: Watch) -> None:
        self._mailbox, self._fit, self._report, self._watch = mailbox, fit, report, watch
        self.at_work = False
        self._has_left = False
        self._first_step = -1
        self._losses = 0

    def until_the_end(self) -> None:
        """Report all letters up to the workers' goodbye."""
        while not self._has_left:
            self._listen()
            if not self.at_work and not self._has_left:
                self._report_all(self._watch.look())

    def until_nobody_works(self) -> None:
        """The same for workers that were told to stop; who is not there need not say goodbye."""
        while self.at_work:
            self._listen()

    def _listen(self) -> None:
        is_over = self._fit.is_over  # asked first: letters may come before it ends
        letters = self._mailbox.take(LISTEN)
        for letter in letters:
            self._read(letter)
        if is_over and not letters:
            self._raise_from_ray()

    def _read(self, letter: Event) -> None:
        if isinstance(letter, CrewFailed):
            raise _revived(letter)
        self._report(letter)
        match letter:
            case CrewStarted():
                self.at_work = True
            case CrewLeft():
                self._has_left, self.at_work = True, False
            case CrewPaused():
                self._rest()
            case RunStarted():
                if letter.first_step > self._first_step:
                    self._losses = 0
                self._first_step = letter.first_step
            case CrewLost():
                self._lose(letter)

    def _report_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self._report(event)

    def _rest(self) -> None:
        """No crew is together until the next one says so."""
        self.at_work = False
        self._watch.begin()

    def _lose(self, letter: CrewLost) -> None:
        self._rest()
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

"""The DataLoader over clips, and its worker processes.

Ctrl-C, ``timeout``, Slurm and ``kill -- -GROUP`` signal a whole group of processes. What that means
is for the main process to decide: it saves the run first, and needs its helpers until then.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from model_zoo.errors import StemError, revived
from stemcli.process import ENDING
from trainers.data.clips import Clips, numbers


@contextmanager
def shielded() -> Iterator[None]:
    """Keep the signals that end a program from processes that start in the block.

    What those start in turn, such as an ffmpeg that decodes a song, does not get them either.
    Windows has no such groups.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_process(_: int) -> None:
    """Make a process that started :func:`shielded` a helper of one thread.

    Helpers are processes so that they compute side by side; threads of each on top would only be
    in each other's way.
    """
    if hasattr(signal, "sigwaitinfo"):  # not on macOS and Windows
        # Ignoring them would forget one of the parent's that is waiting.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        threading.Thread(target=_obey_parent, args=(os.getppid(),), daemon=True).start()
    else:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    sys.excepthook = _tell


def _obey_parent(parent: int) -> None:
    """End at the SIGTERM with which torch ends a helper that hangs after the run is over."""
    while True:
        # No handler of Python's is told who sent a signal.
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid == parent:
            os._exit(0)


def _end_with_parent() -> None:
    """End when the parent does, however: after SIGKILL it cannot tell its helpers.

    torch's own watch is kept between two batches only, and a helper whose batches nobody takes
    would wait for ever at its end.
    """
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show what went wrong, but for a parent that ended while a batch was handed to it."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


AHEAD = 4
"""Batches that each helper process prepares before they are asked for."""

Pair = tuple[Tensor, Tensor]


class LoaderProcessLostError(StemError):
    """The system ended a process that prepares clips; another try may go well."""


def load_batches(
    clips: Clips,
    first_step: int,
    steps: int,
    batch_size: int,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[Pair]:
    """The batches of one worker, ``(batch channel time, batch stem channel time)`` each.

    All of a run is one pass over its numbers, so helper processes live as long as the run.

    Args:
        clips: to draw from.
        first_step: number of the step that the first batch is for.
        steps: of the whole run.
        batch_size: clips of a batch.
        workers: helper processes, of which no more start than there are cores; 0 prepares batches
            when they are asked for.
        rank: number of the worker.
        world_size: workers that share the clips.

    Raises:
        StemError: what a clip raised, from whatever process.
        LoaderProcessLostError: a helper process was ended.
    """
    helpers = min(workers, cores())
    loader = DataLoader(
        _Answers(clips),
        batch_size=batch_size,
        sampler=numbers(first_step, steps, batch_size, rank, world_size),
        num_workers=helpers,
        collate_fn=_collate,
        prefetch_factor=AHEAD if helpers else None,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=start_process,
        # Its seeds shall not come from the generator that dropout draws from.
        generator=torch.Generator(),
    )
    with shielded():
        answers = iter(loader)
    with watched_processes():
        for answer in answers:
            yield answer.unwrap() if isinstance(answer, _Refusal) else answer


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class _Refusal:
    """An error on its way between processes, which no exception of several arguments survives."""

    kind: str
    sentence: str

    def unwrap(self) -> Pair:
        """Raise it."""
        raise revived(self.kind, self.sentence)


class _Answers(Dataset[Pair]):
    """Clips of many numbers at once, or why there are none."""

    def __init__(self, clips: Clips) -> None:
        self.clips = clips

    def __getitems__(self, indices: Sequence[int]) -> list[Pair] | _Refusal:
        try:
            return [self.clips[index] for index in indices]
        except StemError as error:
            return _Refusal(type(error).__name__, str(error))


def _collate(answer: list[Pair] | _Refusal) -> Pair | _Refusal:
    if isinstance(answer, _Refusal):
        return answer
    mixtures, stems = default_collate(answer)
    return mixtures, stems


@contextmanager
def watched_processes() -> Iterator[None]:
    """Say in a sentence that the system ended a helper process.

    torch tells it wherever the main thread is when the helper dies, mostly in the middle of a step.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise LoaderProcessLostError(
            "A process that prepares clips was ended, perhaps for want of memory. "
            "Run it again with --set loop.num_workers=0, and with --resume if the run has saved a "
            "checkpoint"
        ) from error

"""The DataLoader over clips, and its processes.

Ctrl-C, ``timeout``, Slurm and ``kill -- -GROUP`` signal a whole process group. Only the main
process may react: it first saves the run, for which it needs the data loader processes.
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
    """Shield processes that start in the block from signals that end a program.

    This includes processes that these start, such as an ffmpeg that decodes a song. Windows has no
    process groups.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_process(_: int) -> None:
    """Initialize a data loader process that was started :func:`shielded`, with one thread.

    The processes already run in parallel; more threads would only compete for the cores.
    """
    if sys.platform == "linux":  # macOS has no sigwaitinfo, Windows no masks
        # SIG_IGN would discard a signal of the parent that is already pending.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        threading.Thread(target=_obey_parent, args=(os.getppid(),), daemon=True).start()
    else:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    sys.excepthook = _print_error


def _obey_parent(parent: int) -> None:
    """Exit on the SIGTERM with which torch ends a process that hangs after the run."""
    if sys.platform == "linux":
        # Python's signal handlers do not get the sender of a signal.
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            continue
        os._exit(0)


def _end_with_parent() -> None:
    """Exit when the parent does, even after SIGKILL.

    torch checks for its parent only between two batches; a process whose batches are never taken
    would wait for ever.
    """
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _print_error(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print an exception, unless the parent ended while a batch was sent to it."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


AHEAD = 4
"""Batches that each process prefetches."""

Pair = tuple[Tensor, Tensor]


class LoaderProcessLostError(StemError):
    """The system killed a data loader process; another attempt may succeed."""


def load_batches(
    clips: Clips,
    first_step: int,
    steps: int,
    batch_size: int,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[Pair]:
    """Yield the batches of one worker, ``(batch channel time, batch stem channel time)`` each.

    A run is a single pass over its clip numbers, so the processes live as long as the run.

    Args:
        clips: clips to load.
        first_step: step of the first batch.
        steps: number of steps of the whole run.
        batch_size: clips per batch.
        workers: data loader processes, at most one per core; 0 loads batches on demand in this
            process.
        rank: rank of this worker.
        world_size: number of workers that share the clips.

    Raises:
        StemError: a clip raised it, in any process.
        LoaderProcessLostError: a data loader process was killed.
    """
    processes = min(workers, cores())
    loader = DataLoader(
        _Answers(clips),
        batch_size=batch_size,
        sampler=numbers(first_step, steps, batch_size, rank, world_size),
        num_workers=processes,
        collate_fn=_collate,
        prefetch_factor=AHEAD if processes else None,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=start_process,
        # Its seeds must not come from the generator that dropout uses.
        generator=torch.Generator(),
    )
    with shielded():
        answers = iter(loader)
    with watched_processes():
        for answer in answers:
            yield answer.unwrap() if isinstance(answer, _Refusal) else answer


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class _Refusal:
    """An error to send between processes; exceptions with several arguments cannot be pickled."""

    kind: str
    sentence: str

    def unwrap(self) -> Pair:
        """Raise the error."""
        raise revived(self.kind, self.sentence)


class _Answers(Dataset[Pair]):
    """Data set that returns many clips at once, or the error of one."""

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
    """Convert torch's error about a killed data loader process into a StemError.

    torch raises it wherever the main thread is at that time, mostly in the middle of a step.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise LoaderProcessLostError(
            "A data loader process was killed, perhaps because memory ran out. Run it again with"
            " --set "
            "loop.num_workers=0, and with --resume if the run has saved a checkpoint"
        ) from error

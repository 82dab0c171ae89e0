"""Worker processes of the data loader, and signals to their process group."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess

import pytest

from stemcli.process import ENDING
from tests.trainers.data.test_loading import Counting
from trainers.data import loading
from trainers.data.loading import load_batches, shielded, start_process


def signalled_by(number: signal.Signals) -> Callable[[int], int]:
    """A function that prepares a clip and receives a signal meanwhile."""

    def send_signal(_: int) -> int:
        os.kill(os.getpid(), number)
        return 7

    return send_signal


@pytest.mark.parametrize("number", ENDING)
def test_workers_ignore_signals_to_their_group(number: signal.Signals) -> None:
    batches = load_batches(Counting(signalled_by(number)), 0, 4, 1, workers=2)
    assert [float(stems.max()) for _, stems in batches] == 4 * [7]


def started(target: Callable[..., None], *args: int) -> ForkProcess:
    """Start a process as the data loader starts its workers."""
    process = multiprocessing.get_context("fork").Process(target=target, args=args, daemon=True)
    with shielded():
        process.start()
    return process


def signal_before_start(number: int) -> None:
    os.kill(os.getpid(), number)
    start_process(0)
    os._exit(7)


@pytest.mark.parametrize("number", ENDING)
def test_workers_ignore_signals_while_they_start(number: signal.Signals) -> None:
    worker = started(signal_before_start, number)
    worker.join(10)
    assert worker.exitcode == 7


def start_and_sleep() -> None:
    start_process(0)
    time.sleep(60)


def test_a_hanging_worker_can_be_terminated() -> None:
    """torch sends SIGTERM if a worker has not ended some seconds after the run."""
    worker = started(start_and_sleep)
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0


def test_a_worker_without_a_parent_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (ConnectionResetError(), EOFError(), BrokenPipeError()):
        loading._print_error(type(error), error, None)
    assert capsys.readouterr().err == ""
    loading._print_error(ValueError, ValueError("odd"), None)
    assert "odd" in capsys.readouterr().err

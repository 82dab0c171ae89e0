"""Processes that prepare clips. Truth: what a shell does to a whole group of processes."""

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


def hit_by(number: signal.Signals) -> Callable[[int], int]:
    """Prepares a clip and is signalled meanwhile, as every member of its group is."""

    def hit(_: int) -> int:
        os.kill(os.getpid(), number)
        return 7

    return hit


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_to_the_group_is_for_the_parent_to_obey(number: signal.Signals) -> None:
    batches = load_batches(Counting(hit_by(number)), 0, 4, 1, workers=2)
    assert [float(stems.max()) for _, stems in batches] == 4 * [7]


def started(target: Callable[..., None], *given: int) -> ForkProcess:
    """A process that starts as helpers do."""
    process = multiprocessing.get_context("fork").Process(target=target, args=given, daemon=True)
    with shielded():
        process.start()
    return process


def hit_at_once(number: int) -> None:
    os.kill(os.getpid(), number)
    start_process(0)
    os._exit(7)


@pytest.mark.parametrize("number", ENDING)
def test_so_is_one_that_comes_while_a_helper_starts(number: signal.Signals) -> None:
    helper = started(hit_at_once, number)
    helper.join(10)
    assert helper.exitcode == 7


def hang() -> None:
    start_process(0)
    time.sleep(60)


def test_a_helper_that_hangs_ends_when_its_parent_says_so() -> None:
    """SIGTERM is what torch sends when a helper is not gone some seconds after the run."""
    helper = started(hang)
    helper.terminate()
    helper.join(10)
    assert helper.exitcode == 0


def test_a_helper_whose_parent_is_gone_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (ConnectionResetError(), EOFError(), BrokenPipeError()):
        loading._print_error(type(error), error, None)
    assert capsys.readouterr().err == ""
    loading._print_error(ValueError, ValueError("odd"), None)
    assert "odd" in capsys.readouterr().err

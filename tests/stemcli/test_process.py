"""Temporary environment variables are restored afterwards, and waits can be interrupted."""

from __future__ import annotations

import ctypes
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from stemcli.batch.executor import LocalExecutor, SessionLike, TaskResult
from stemcli.batch.library import LibrarySong
from stemcli.batch.plan import SongTask
from stemcli.engine.planned import PlannedFiles
from stemcli.process import environment, finished

NEW, SET = "STEM_TEST_NEW", "STEM_TEST_SET"


@pytest.mark.parametrize(("replace", "inside"), [(False, "before"), (True, "other")])
def test_variables_are_restored(
    replace: bool, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's own setting is kept unless ``replace`` is set."""
    monkeypatch.setenv(SET, "before")
    monkeypatch.delenv(NEW, raising=False)
    with environment({NEW: "new", SET: "other"}, replace=replace):
        assert (os.environ[NEW], os.environ[SET]) == ("new", inside)
    assert NEW not in os.environ
    assert os.environ[SET] == "before"
    with environment({SET: None}, replace=replace):
        assert os.environ.get(SET) == (None if replace else "before")
    assert os.environ[SET] == "before"


def test_futures_come_as_they_finish() -> None:
    futures = [Future[int]() for _ in range(3)]
    run = finished(iter(futures))
    for number in (2, 0):
        futures[number].set_result(number)
        assert next(run).result() == number
    futures[1].cancel()
    assert [future.cancelled() for future in run] == [True]


def test_no_future_is_kept() -> None:
    """Law: errors hold the frames, and so the arrays, of the songs they are about."""
    first, second = Future[int](), Future[int]()
    gone = weakref.ref(first)
    run = finished(iter([first, second]))
    first.set_result(0)
    next(run)
    del first
    second.set_result(1)
    next(run)
    assert gone() is None


def wait_for_ever() -> None:
    next(finished([Future[int]()]))


def separate_for_ever() -> None:
    song = LibrarySong(Path("song.wav"))
    session = SimpleNamespace(interrupt=lambda: None)
    executor = LocalExecutor(cast(SessionLike, session), 1)
    over = threading.Event()

    def work(*_: object) -> TaskResult:
        over.wait(20)
        return TaskResult(SongTask(song, PlannedFiles({})))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executor, "_try", work)
        patch.setattr(executor, "interrupt", over.set)
        list(
            executor.run(
                [SongTask(song, PlannedFiles({}))], replace=False, callbacks=lambda task: None
            )
        )


@pytest.mark.parametrize("work", [wait_for_ever, separate_for_ever])
def test_ctrl_c_ends_a_wait_that_signals_do_not_end(work: Callable[[], None]) -> None:
    """On Windows as here: the exception is raised when the thread runs the next line of Python.

    Reference: ``PyThreadState_SetAsyncExc``. A lock without a time limit would wait for ever.
    """
    interrupted = threading.Event()

    def run() -> None:
        try:
            work()
        except KeyboardInterrupt:
            interrupted.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    time.sleep(0.2)
    raised = ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
    )
    assert raised == 1
    assert interrupted.wait(10)

"""Background threads. Expected: the order and number of finished items, step by step."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from stemcli.engine.background import BackgroundWriters, Prefetcher

TIMEOUT = 30
"""Timeout in seconds for a thread to reach a point."""


def test_items_come_in_order_and_end() -> None:
    with Prefetcher(iter(range(100))) as items:
        assert list(items) == list(range(100))
        assert list(items) == []


def test_prefetch_is_limited_by_its_depth() -> None:
    produced: list[int] = []
    three = threading.Event()

    def count() -> Iterator[int]:
        for item in range(100):
            produced.append(item)
            if item == 2:
                three.set()
            yield item

    with Prefetcher(count(), depth=3) as items:
        assert three.wait(TIMEOUT)
        assert produced == [0, 1, 2]
        assert next(items) == 0
    assert len(produced) <= 4


def test_an_error_of_the_source_is_raised_in_its_place() -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise ValueError("second")

    with Prefetcher(breaks()) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match="second"):
            next(items)


def test_each_writer_works_in_order() -> None:
    done: list[list[int]] = [[], []]
    with BackgroundWriters(2) as writers:
        for task in range(50):
            writers.submit(lambda writer, task=task: done[writer].append(task))  # type: ignore[misc]
        writers.wait()
    assert done == [list(range(50))] * 2


def test_submit_blocks_while_the_queue_is_full() -> None:
    """One task runs and one waits, so the third is accepted only after the first is done."""
    go, submitted = threading.Event(), []

    def submit_three(writers: BackgroundWriters) -> None:
        for task in range(3):
            writers.submit(lambda writer: go.wait(TIMEOUT) and None)
            submitted.append(task)

    with BackgroundWriters(1, depth=1) as writers:
        thread = threading.Thread(target=submit_three, args=(writers,))
        thread.start()
        thread.join(0.1)
        assert submitted == [0]
        go.set()
        thread.join(TIMEOUT)
        assert submitted == [0, 1, 2]


def test_an_error_of_a_task_is_raised_by_the_next_call() -> None:
    def breaks(writer: int) -> None:
        raise ValueError("full")

    with BackgroundWriters(1) as writers:
        writers.submit(breaks)
        with pytest.raises(ValueError, match="full"):
            writers.wait()

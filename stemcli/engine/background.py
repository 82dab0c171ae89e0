"""Threads that read ahead of the network and write behind it, in order and with bounded queues.

::

    decoder ─▶ Prefetcher ─▶ network ─▶ BackgroundWriters ─▶ encoders
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")

DEPTH = 4
"""Number of items that may wait in a queue."""

_END: Any = object()


class _Threads:
    """A context manager that shuts down its threads and cancels work that has not started."""

    def __init__(self, *pools: ThreadPoolExecutor) -> None:
        self._pools = pools

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)


class Prefetcher(_Threads, Iterator[T], Generic[T]):
    """Iterates over ``source`` ahead of time in a thread.

    Use it as a context manager; leaving it waits for the item in progress.

    Args:
        source: the items; an exception of ``source`` is raised at its place among them.
        depth: number of items to fetch ahead.
    """

    def __init__(self, source: Iterable[T], depth: int = DEPTH) -> None:
        pool = ThreadPoolExecutor(1, "ahead")
        super().__init__(pool)
        items = iter(source)
        self._fetch: Callable[[], Future[T]] = lambda: pool.submit(next, items, _END)
        self._pending = deque(self._fetch() for _ in range(depth))

    def __next__(self) -> T:
        item = self._pending[0].result()
        if item is _END:
            raise StopIteration
        self._pending.popleft()
        self._pending.append(self._fetch())
        return item


class BackgroundWriters(_Threads):
    """Threads that each do their part of every task, in order.

    Use it as a context manager; leaving it without :meth:`wait` cancels tasks that have not
    started.

    Args:
        hands: number of threads, and of parts of each task.
        depth: number of tasks that may wait before :meth:`submit` blocks.
    """

    def __init__(self, hands: int, depth: int = DEPTH) -> None:
        self._threads = [ThreadPoolExecutor(1, "behind") for _ in range(hands)]
        super().__init__(*self._threads)
        self._depth = depth
        self._waiting: deque[list[Future[None]]] = deque()

    def submit(self, work: Callable[[int], None]) -> None:
        """Run ``work(i)`` in thread ``i``.

        Raises:
            Exception: from an earlier task.
        """
        self._waiting.append([pool.submit(work, index) for index, pool in enumerate(self._threads)])
        while len(self._waiting) > self._depth:
            self._wait_for_one()

    def wait(self) -> None:
        """Wait until all tasks are done.

        Raises:
            Exception: from a task.
        """
        while self._waiting:
            self._wait_for_one()

    def _wait_for_one(self) -> None:
        for future in self._waiting.popleft():
            future.result()

"""Work that goes on in other threads, in order and never far ahead or behind.

::

    decoder ─▶ Ahead ─▶ network ─▶ Behind ─▶ encoder
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")

DEPTH = 4
"""Pieces of work that may wait."""

_END: Any = object()


class _Threads:
    """A context manager that ends its threads; what they have not begun is not done."""

    def __init__(self, *hands: ThreadPoolExecutor) -> None:
        self._hands = hands

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for hand in self._hands:
            hand.shutdown(cancel_futures=True)


class Prefetcher(_Threads, Iterator[T], Generic[T]):
    """The items of an iterator, made ahead of time in a thread of their own.

    Use it as a context manager; leaving it waits for the item that is being made.

    Args:
        source: what is iterated; what it raises is raised in its place among the items.
        depth: how many items are made before they are asked for.
    """

    def __init__(self, source: Iterable[T], depth: int = DEPTH) -> None:
        hand = ThreadPoolExecutor(1, "ahead")
        super().__init__(hand)
        items = iter(source)
        self._make: Callable[[], Future[T]] = lambda: hand.submit(next, items, _END)
        self._coming = deque(self._make() for _ in range(depth))

    def __next__(self) -> T:
        item = self._coming[0].result()
        if item is _END:
            raise StopIteration
        self._coming.popleft()
        self._coming.append(self._make())
        return item


class BackgroundWriters(_Threads):
    """Rows of hands that each do their part of every piece of work, in order.

    Use it as a context manager; leaving it without :meth:`wait` drops what is not begun.

    Args:
        hands: how many parts a piece of work has.
        depth: how many pieces may wait before :meth:`submit` waits for the first of them.
    """

    def __init__(self, hands: int, depth: int = DEPTH) -> None:
        self._threads = [ThreadPoolExecutor(1, "behind") for _ in range(hands)]
        super().__init__(*self._threads)
        self._depth = depth
        self._waiting: deque[list[Future[None]]] = deque()

    def submit(self, work: Callable[[int], None]) -> None:
        """Have hand ``i`` do ``work(i)``.

        Raises:
            Exception: what earlier work raised.
        """
        self._waiting.append([hand.submit(work, index) for index, hand in enumerate(self._threads)])
        while len(self._waiting) > self._depth:
            self._wait_for_one()

    def wait(self) -> None:
        """Wait until all is done.

        Raises:
            Exception: what the work raised.
        """
        while self._waiting:
            self._wait_for_one()

    def _wait_for_one(self) -> None:
        for future in self._waiting.popleft():
            future.result()

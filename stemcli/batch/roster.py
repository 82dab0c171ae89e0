"""Which worker gets which song.

Workers come and go. The largest song that waits goes to the worker with the fewest in hand; a
worker may hold more songs than its network works on, so that it never waits for the next. When no
song is left to hand out, one that a busy worker holds and has not begun is called back for a worker
that has less to do.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

W = TypeVar("W", bound=Hashable)


@dataclass(eq=False)
class Hand(Generic[W]):
    """A song in the hands of a worker.

    Attributes:
        worker: who has it.
        number: one of its own for every time that a song is handed out.
        begun: whether the worker may not give it back any more.
        called: whether it was called back.
        alone: whether the worker gets nothing beside it.
    """

    worker: W
    number: int
    begun: bool = False
    called: bool = False
    alone: bool = False


@dataclass
class _Bench(Generic[W]):
    rooms: int
    hands: list[Hand[W]] = field(default_factory=list)


class Roster(Generic[W]):
    """Hands out songs; may be asked from any thread."""

    def __init__(self) -> None:
        self._benches: dict[W, _Bench[W]] = {}
        self._waiting: list[tuple[bool, int, int]] = []  # a heap: who wants a worker for himself,
        # then the largest song
        self._numbers = count()
        self._changed = threading.Condition()
        self._end: BaseException | None = None

    @property
    def workers(self) -> list[W]:
        """Those that are there."""
        with self._changed:
            return [*self._benches]

    @property
    def waiting(self) -> int:
        """How many songs wait for a worker."""
        with self._changed:
            return len(self._waiting)

    def add(self, worker: W, rooms: int) -> None:
        """Take a worker on, who can hold as many songs as it has rooms."""
        with self._changed:
            self._benches[worker] = _Bench(rooms)
            self._changed.notify_all()

    def remove(self, worker: W) -> bool:
        """Give nothing more to a worker; whether it was there."""
        with self._changed:
            return self._benches.pop(worker, None) is not None

    def take(self, size: int, *, alone: bool = False) -> Hand[W]:
        """Wait for a worker that has room for a song.

        Args:
            size: of the song; the largest are handed out first.
            alone: wait for a worker that holds no other song, before all others.

        Raises:
            BaseException: with which the roster was closed.
        """
        with self._changed:
            ticket = (not alone, -size, next(self._numbers))
            heapq.heappush(self._waiting, ticket)
            try:
                self._changed.wait_for(lambda: self._end or self._is_next(ticket))
            finally:
                self._waiting.remove(ticket)
                heapq.heapify(self._waiting)
                self._changed.notify_all()
            if self._end:
                raise self._end
            worker, bench = min(self._with_room(alone), key=lambda pair: len(pair[1].hands))
            bench.hands.append(Hand(worker, ticket[2], alone=alone))
            return bench.hands[-1]

    def give_back(self, hand: Hand[W]) -> None:
        """The song is no longer in the hands of the worker."""
        with self._changed:
            bench = self._benches.get(hand.worker)
            if bench and hand in bench.hands:
                bench.hands.remove(hand)
            self._changed.notify_all()

    def calls(self) -> list[Hand[W]]:
        """Songs to be called back because somebody else would begin them earlier.

        Each is named once; who holds it may have begun it meanwhile, and keep it.
        """
        with self._changed:
            if self._waiting or len(self._benches) < 2:
                return []
            benches = sorted(self._benches.values(), key=lambda bench: len(bench.hands))
            idle, busy = benches[0], benches[-1]
            spare = [hand for hand in busy.hands if not hand.begun and not hand.called]
            if not spare or len(idle.hands) + 1 >= len(busy.hands):
                return []
            spare[-1].called = True
            return [spare[-1]]

    def close(self, reason: BaseException | None = None) -> None:
        """Send away whoever waits or ever asks again; without a reason it is KeyboardInterrupt."""
        with self._changed:
            self._end = self._end or reason or KeyboardInterrupt()
            self._changed.notify_all()

    def _is_next(self, ticket: tuple[bool, int, int]) -> bool:
        return self._waiting[0] == ticket and bool(self._with_room(alone=not ticket[0]))

    def _with_room(self, alone: bool) -> list[tuple[W, _Bench[W]]]:
        return [
            (worker, bench)
            for worker, bench in self._benches.items()
            if len(bench.hands) < (1 if alone else bench.rooms)
            and not any(hand.alone for hand in bench.hands)
        ]

"""What to say while no crew is together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from trainers.cluster.events import CrewAwaited, CrewEvent, CrewStarting
from trainers.cluster.machines import Machine, look_around
from trainers.cluster.workers import Crew, Share

LOOK = 5.0
"""Seconds between two looks at the cluster."""

AGAIN = 60.0
"""Seconds until the same is said again, and until workers that start are slow."""


class Lookout:
    """Looks now and then whether there are enough machines, and at how long it takes.

    Args:
        crew: the workers that are awaited.
        look: finds the machines.
        clock: seconds.
    """

    def __init__(
        self,
        crew: Crew,
        look: Callable[[], Sequence[Machine]] = look_around,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._crew, self._find, self._clock = crew, look, clock
        self.begin()

    def begin(self) -> None:
        """A crew was there, and is not any more."""
        self._began = self._clock()
        self._next = self._began + LOOK
        self._said: tuple[CrewEvent, float] | None = None

    def look(self) -> Iterator[CrewEvent]:
        """What is to be said now, if anything is."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + LOOK
        event = self._event(now)
        if event and not self._is_known(event, now):
            self._said = event, now
            yield event

    def _event(self, now: float) -> CrewEvent | None:
        room, least = places(self._crew.share, self._find()), self._crew.count.least
        if room < least:
            return CrewAwaited(room, least)
        seconds = int(now - self._began)
        return CrewStarting(seconds) if seconds >= AGAIN else None

    def _is_known(self, event: CrewEvent, now: float) -> bool:
        if self._said is None:
            return False
        before, when = self._said
        still_starting = isinstance(event, CrewStarting) and isinstance(before, CrewStarting)
        return (before == event or still_starting) and now < when + AGAIN


def places(share: Share, machines: Sequence[Machine]) -> int:
    """Workers for which the machines would have room if nobody else used them."""
    return sum(share.capacity(machine) for machine in machines)

"""The places where networks run, each with a thread and a share of the processor of its own.

A song takes a place for the time that its network needs; while it is decoded at the start and
encoded at the end, the place belongs to another song, so that it never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

import torch

from stemcli.engine.ensemble import Ensemble

T = TypeVar("T")


@dataclass(frozen=True)
class _Place:
    ensemble: Ensemble
    thread: ThreadPoolExecutor


class Places:
    """Hands out places; whoever finds none free waits.

    Args:
        ensembles: one per place; places on one device may share theirs.
    """

    def __init__(self, ensembles: Iterable[Ensemble]) -> None:
        chosen = list(ensembles)
        cores = max(1, torch.get_num_threads() // len(chosen))
        self._free: SimpleQueue[_Place] = SimpleQueue()
        for ensemble in chosen:
            thread = ThreadPoolExecutor(1, "network", torch.set_num_threads, (cores,))
            self._free.put(_Place(ensemble, thread))

    def run(self, work: Callable[[Ensemble], T]) -> T:
        """What ``work`` gives, done at the next free place.

        Raises:
            BaseException: what ``work`` raised.
        """
        place = self._free.get()
        try:
            return place.thread.submit(work, place.ensemble).result()
        finally:
            self._free.put(place)

"""A pool of devices, on each of which one song at a time runs its networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeVar

import torch

from stemcli.engine.chain import Networks

T = TypeVar("T")

WAIT = 0.2
"""Seconds after which a song that waits for a device checks whether it was interrupted."""


@dataclass(frozen=True)
class _Device:
    ensemble: Networks
    thread: ThreadPoolExecutor


class DevicePool:
    """A pool of devices with loaded networks; a song waits until one is free.

    Args:
        ensembles: one per slot; slots on one device may share theirs.
    """

    def __init__(self, ensembles: Iterable[Networks]) -> None:
        slots = list(ensembles)
        cores = max(1, torch.get_num_threads() // len(slots))
        self._free: SimpleQueue[_Device] = SimpleQueue()
        for ensemble in slots:
            thread = ThreadPoolExecutor(1, "network", torch.set_num_threads, (cores,))
            self._free.put(_Device(ensemble, thread))

    def run(self, work: Callable[[Networks], T], check: Callable[[], None] = lambda: None) -> T:
        """Run ``work`` on the next free device and return its result.

        Args:
            work: receives the networks of the device.
            check: called now and then while all devices are busy; it may raise.

        Raises:
            BaseException: raised by ``work`` or ``check``.
        """
        device = self._next(check)
        try:
            return device.thread.submit(work, device.ensemble).result()
        finally:
            self._free.put(device)

    def _next(self, check: Callable[[], None]) -> _Device:
        while True:
            check()
            with suppress(Empty):
                return self._free.get(timeout=WAIT)

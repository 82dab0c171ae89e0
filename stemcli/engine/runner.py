"""Runs a network on one device, from numpy chunks to numpy stems.

If memory runs out, the batch is halved; NaN and infinity are computed again in float32.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.errors import NumericalError, OutOfMemoryError, first_line
from model_zoo.option_names import option, setting
from model_zoo.separator import Separator
from stemcli.engine.backends.base import Backend, BackendName, open_backend
from stemcli.engine.device import Precision

Items = NDArray[np.float32]
"""``(item, channel, time)``."""
Estimates = NDArray[np.float32]
"""``(item, stem, channel, time)``."""

_FULL = Precision("fp32", "retry")


class ModelRunner:
    """A separator on a device; may be shared by threads.

    If another backend than torch fails, torch takes its place, and :meth:`take_notice` says so.

    Attributes:
        stems: names of the estimates, in order.
        sample_rate: in Hz.
        channels: audio channels of one item.
        segment: samples of a chunk in training.
        busy_seconds: total time in forward passes so far.

    Args:
        separator: the network.
        device: where the network runs.
        precision: numeric precision of the network.
        largest: most items per forward pass, so that many channels do not need more memory.
        backend: backend that computes the network; opened on first use.
        sha256: of the weights, for the files of other backends than torch.
    """

    def __init__(
        self,
        separator: Separator,
        device: torch.device,
        precision: Precision,
        largest: int = 2**30,
        backend: BackendName = "torch",
        sha256: str = "",
    ) -> None:
        self.stems = tuple(separator.stems)
        self.sample_rate = separator.sample_rate
        self.channels = separator.channels
        self.segment = separator.segment
        self._separator = separator.to(device).eval()
        if separator.prefers_channels_last:
            any_module: Any = self._separator  # torch's stubs lack memory_format
            any_module.to(memory_format=torch.channels_last)
        self._device = device
        self._precision = precision
        self._largest = largest
        self._name, self._sha256 = backend, sha256
        self._backends: dict[tuple[BackendName, str], Backend] = {}
        self._notice = ""
        self.busy_seconds = 0.0
        self._counting, self._opening = threading.Lock(), threading.Lock()

    def separate(self, items: Items, seconds: Sequence[float]) -> Estimates:
        """Separate all items; silent items give exact silence.

        Args:
            items: ``(item, channel, time)`` at ``sample_rate``.
            seconds: start of each item in the song, for error messages.

        Raises:
            NumericalError: an item gives NaN or infinity even in float32.
            OutOfMemoryError: a single item does not fit in memory.
        """
        count, _, time = items.shape
        estimates = np.zeros((count, len(self.stems), self.channels, time), np.float32)
        audible = np.flatnonzero(items.any(axis=(1, 2)))
        if len(audible):
            estimates[audible] = self._in_batches(items[audible], self._precision)
            self._repair(estimates, items, seconds)
        return estimates

    def _repair(self, estimates: Estimates, items: Items, seconds: Sequence[float]) -> None:
        broken = _not_finite(estimates)
        if len(broken) and self._precision.is_reduced:
            estimates[broken] = self._in_batches(items[broken], _FULL)
            broken = _not_finite(estimates)
        if len(broken):
            where = f"{max(0.0, seconds[broken[0]]):.2f} s"
            raise NumericalError(
                f"The network gave NaN or infinity in float32 at {where}. "
                "Check its weights with stem models verify, or choose another with "
                f"{option('model')}"
            ).about("model")

    def _in_batches(self, items: Items, precision: Precision) -> Estimates:
        done: list[Estimates] = []
        while (position := sum(map(len, done))) < len(items):
            batch = items[position : position + self._largest]
            try:
                done.append(self._forward(batch, precision))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(len(batch))
        return np.concatenate(done)

    def _shrink(self, failed: int) -> None:
        if failed == 1:
            on_cpu = "" if self._device.type == "cpu" else f", or {setting(device='cpu')}"
            raise OutOfMemoryError(
                f"One chunk does not fit in the memory of {self._device}. "
                f"Try a smaller {option('segment')}{on_cpu}"
            )
        self._largest = failed // 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _forward(self, items: Items, precision: Precision) -> Estimates:
        began = time.monotonic()
        batch = torch.from_numpy(items)
        name: BackendName = self._name if precision == self._precision else "torch"
        try:
            stems = self._backend(name, precision).run(batch)
        except Exception as error:
            if name == "torch" or (isinstance(error, RuntimeError) and is_out_of_memory(error)):
                raise
            self._name = "torch"
            self._backends.pop((name, precision.name), None)
            self._notice = f"{name} failed ({first_line(error)}), so torch separates the rest"
            stems = self._backend("torch", precision).run(batch)
        estimates: Estimates = stems.numpy()
        with self._counting:
            self.busy_seconds += time.monotonic() - began
        return estimates

    def _backend(self, name: BackendName, precision: Precision) -> Backend:
        key = (name, precision.name)
        with self._opening:
            if key not in self._backends:
                self._backends[key] = open_backend(
                    name, self._separator, self._device, precision, self._sha256
                )
            return self._backends[key]

    def take_notice(self) -> str:
        """One sentence for the user about a backend that failed; empty if there is none."""
        notice, self._notice = self._notice, ""
        return notice


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a backend ran out of memory; only CUDA has an exception class for it."""
    texts = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in texts)


def _not_finite(estimates: Estimates) -> NDArray[np.int64]:
    """Indices of the items that hold NaN or infinity."""
    return np.flatnonzero(~np.isfinite(estimates).all(axis=(1, 2, 3)))

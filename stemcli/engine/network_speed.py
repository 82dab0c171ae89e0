"""Measures how fast networks run on this machine, with random weights, and keeps the results.

The speed of a network does not depend on the values of its weights, so networks that nobody has
downloaded can be measured. A result holds for this machine, version of PyTorch, precision and size
of the network; it is kept in the folder of the cache.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from model_zoo import registry
from model_zoo.errors import OutOfMemoryError, OutputError
from model_zoo.files import cache_home, staged
from model_zoo.separator import Separator
from stemcli.engine.device import machine, resolve_precision
from stemcli.engine.ensemble import BATCHES, STEREO
from stemcli.engine.runner import ModelRunner, is_out_of_memory

FILE = "network-speeds.json"

WARM = 2.0
"""Seconds. A pass that takes less is repeated: the first one also prepares the device."""


class NetworkSpeeds:
    """Speeds of networks on one device, in seconds of work for a second of stereo.

    Args:
        device: where the networks run.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._place = f"{machine(device)}, {device.type}, PyTorch {torch.__version__}"

    def kept(self, architecture: str, options: Mapping[str, Any]) -> float | None:
        """The speed that was measured before; None if there is none.

        Args:
            architecture: a key of :data:`model_zoo.registry.ARCHITECTURES`.
            options: options of the architecture.
        """
        return _read().get(self._place, {}).get(_key(architecture, options))

    def measure(self, architecture: str, options: Mapping[str, Any]) -> float:
        """Measure the speed of a network, and keep it if the cache can be written.

        Args:
            architecture: a key of :data:`model_zoo.registry.ARCHITECTURES`.
            options: options of the architecture.

        Raises:
            ConfigError: the options contradict each other.
            OutOfMemoryError: a chunk does not fit in memory.
        """
        seconds = seconds_per_second(_built(architecture, options), self._device)
        every = _read()
        every.setdefault(self._place, {})[_key(architecture, options)] = round(seconds, 6)
        with suppress(OutputError), staged(cache_home() / FILE) as file:
            file.write_text(json.dumps(every, indent=1), encoding="utf-8")
        return seconds


def _built(architecture: str, options: Mapping[str, Any]) -> Separator:
    """Build a network with random weights, without advancing the generator of the caller."""
    try:
        with torch.random.fork_rng(devices=[]):
            return registry.build(architecture, options)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(f"A network {architecture} does not fit in memory") from error


def seconds_per_second(network: Separator, device: torch.device) -> float:
    """Time of a forward pass over chunks of noise, divided by their duration.

    The chunks have the length that the network was trained on, and the engine's number of chunks
    go through it at once.

    Args:
        network: a network with any weights.
        device: where it runs.

    Raises:
        OutOfMemoryError: a chunk does not fit in memory.
        NumericalError: the network gives NaN or infinity.
    """
    precision = resolve_precision("auto", device, network.needs_float32)
    chunks = BATCHES[device.type]
    shape = (chunks * max(1, STEREO // network.channels), network.channels, network.segment)
    noise = 0.1 * np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    runner = ModelRunner(network, device, precision, largest=len(noise))
    seconds = _timed(runner, noise)
    if seconds < WARM:
        seconds = min(seconds, _timed(runner, noise))
    return seconds * network.sample_rate / (chunks * network.segment)


def _timed(runner: ModelRunner, noise: Any) -> float:
    began = time.perf_counter()
    runner.separate(noise, [0.0] * len(noise))
    return time.perf_counter() - began


def _key(architecture: str, options: Mapping[str, Any]) -> str:
    """Architecture and size; of the stems only their number matters."""
    size = {**options, "stems": len(options.get("stems", ()))}
    return f"{architecture} {json.dumps(size, sort_keys=True)}"


def _read() -> dict[str, dict[str, float]]:
    """All speeds that were kept; none if the file is missing or damaged."""
    try:
        every = json.loads((cache_home() / FILE).read_text(encoding="utf-8"))
        return {
            str(place): {str(key): float(value) for key, value in speeds.items()}
            for place, speeds in every.items()
        }
    except (OSError, OutputError, ValueError, TypeError, AttributeError):
        return {}

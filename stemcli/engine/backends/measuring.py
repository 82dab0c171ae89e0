"""Measures which backend and precision run a network fastest on this machine, and keeps the answer.

A measurement holds for the machine, the weights and the versions of the backends.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.errors import OutputError, StemError, first_line
from model_zoo.files import cache_home, staged
from stemcli.engine.backends.base import EXTRAS, BackendName, is_installed
from stemcli.engine.device import Precision, machine, resolve_precision
from stemcli.engine.models import LoadedModel
from stemcli.engine.runner import ModelRunner

FILE = "backend-speeds.json"

LEAST_LEVEL = 40.0
"""Level of stems over their difference to those of torch in float32 that ``auto`` needs, in dB."""

ROUNDS = 2
"""Timed runs of a backend after the first, which prepares it; the faster one counts."""


@dataclass(frozen=True)
class Measurement:
    """Speed of a backend in one precision.

    Attributes:
        backend: the backend.
        precision: in which it ran.
        speed: seconds of song per second of work.
        level: level of the stems over the difference to torch in float32, in dB; infinite for that
            itself.
        failure: one clause; empty if it ran.
    """

    backend: BackendName
    precision: str
    speed: float
    level: float
    failure: str = ""

    @property
    def is_good(self) -> bool:
        """Whether ``auto`` may take it."""
        return not self.failure and self.level >= LEAST_LEVEL


def candidates(device: torch.device, needs_float32: bool) -> Iterator[tuple[BackendName, str]]:
    """Backends and precisions to measure; torch in float32, the reference, comes first."""
    native = resolve_precision("auto", device, needs_float32).name
    precisions = dict.fromkeys(("fp32", native))
    yield from (("torch", precision) for precision in precisions)
    if device.type != "cpu":
        return
    if is_installed("onnxruntime"):
        yield "onnxruntime", "fp32"
    if is_installed("openvino"):
        yield from (("openvino", precision) for precision in precisions)


def measure_backends(
    model: LoadedModel,
    device: torch.device,
    on_measured: Callable[[Measurement], None] = lambda one: None,
) -> list[Measurement]:
    """Run a chunk of :func:`tones` through every backend, and keep the results.

    Args:
        model: the model.
        device: where it runs.
        on_measured: is called after each backend.
    """
    network = model.separator
    items = tones(network.channels, network.segment, network.sample_rate)
    found: list[Measurement] = []
    reference: NDArray[np.float32] | None = None
    for backend, precision in candidates(device, network.needs_float32):
        one, stems = _measure(model, device, backend, precision, items, reference)
        reference = stems if reference is None else reference
        found.append(one)
        on_measured(one)
    _keep(model, device, found)
    return found


def tones(channels: int, samples: int, sample_rate: int) -> NDArray[np.float32]:
    """Harmonic tones that come and go over soft noise: a chunk that networks find stems in.

    Args:
        channels: audio channels.
        samples: length.
        sample_rate: in Hz.
    """
    seconds = np.arange(samples) / sample_rate
    generator = np.random.default_rng(0)
    chunk = 0.01 * generator.standard_normal((1, channels, samples))
    for pitch, pace in ((82.4, 1.1), (220.0, 0.7), (329.6, 2.3)):  # Hz
        swell = np.sin(np.pi * pace * seconds) ** 2
        for partial in range(1, 9):
            pan = generator.uniform(0.2, 1.0, channels)[:, None]
            wave = swell * np.sin(2 * np.pi * partial * pitch * seconds)
            chunk += 0.1 / partial * pan * wave
    return chunk.astype(np.float32)


def _measure(
    model: LoadedModel,
    device: torch.device,
    backend: BackendName,
    precision: str,
    items: NDArray[np.float32],
    reference: NDArray[np.float32] | None,
) -> tuple[Measurement, NDArray[np.float32] | None]:
    network = model.separator
    chosen = Precision(precision, "measured")
    runner = ModelRunner(network, device, chosen, backend=backend, sha256=model.sha256)
    try:
        stems = runner.separate(items, [0.0])
        seconds = min(_timed(runner, items) for _ in range(ROUNDS))
    except (StemError, RuntimeError) as error:
        return Measurement(backend, precision, 0.0, 0.0, first_line(error)), None
    if failure := runner.take_notice():
        return Measurement(backend, precision, 0.0, 0.0, failure), None
    speed = network.segment / network.sample_rate / seconds
    level = math.inf if reference is None else _level(reference, stems)
    return Measurement(backend, precision, speed, level), stems


def _timed(runner: ModelRunner, items: NDArray[np.float32]) -> float:
    began = time.perf_counter()
    runner.separate(items, [0.0])
    return time.perf_counter() - began


def _level(reference: NDArray[np.float32], stems: NDArray[np.float32]) -> float:
    energy, rest = (
        float(np.square(wave, dtype=np.float64).sum()) for wave in (reference, reference - stems)
    )
    if not rest:
        return math.inf
    return 10 * math.log10(energy / rest) if energy else -math.inf


def kept(device: torch.device, sha256: str) -> Sequence[Measurement]:
    """Measurements of a network that were kept; none without ``sha256``.

    Args:
        device: where the network will run.
        sha256: of its weights.
    """
    rows = _read().get(_place(device), {}).get(sha256, []) if sha256 else []
    with suppress(TypeError):  # a file of another version
        return [Measurement(**row) for row in rows]
    return []


def fastest(
    found: Sequence[Measurement], precision: str, is_usable: Callable[[BackendName], bool]
) -> Measurement | None:
    """The fastest measurement that ``auto`` may take; None if there is none.

    Args:
        found: measurements.
        precision: ``auto``, or the only one that may be taken.
        is_usable: whether a backend is installed now.
    """
    good = [
        one
        for one in found
        if one.is_good and precision in ("auto", one.precision) and is_usable(one.backend)
    ]
    return max(good, key=lambda one: one.speed, default=None)


def _keep(model: LoadedModel, device: torch.device, found: Sequence[Measurement]) -> None:
    """Write the results to the cache, if it can be written."""
    if not model.sha256:
        return
    every = _read()
    every.setdefault(_place(device), {})[model.sha256] = [asdict(one) for one in found]
    with suppress(OutputError), staged(cache_home() / FILE) as file:
        file.write_text(json.dumps(every, indent=1), encoding="utf-8")


def _place(device: torch.device) -> str:
    """The machine, and the versions of torch and of the backends."""
    versions = [f"PyTorch {torch.__version__}"]
    for name in EXTRAS:
        with suppress(PackageNotFoundError):
            versions.append(f"{name} {version(name)}")
    return ", ".join((machine(device), device.type, *versions))


def _read() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """All results that were kept; none if the file is missing or damaged."""
    try:
        every = json.loads((cache_home() / FILE).read_text(encoding="utf-8"))
        return {place: {**networks} for place, networks in every.items()}
    except (OSError, OutputError, ValueError, TypeError, AttributeError):
        return {}

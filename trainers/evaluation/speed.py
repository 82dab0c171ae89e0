"""How fast models are and how much memory they take, each in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from model_zoo.errors import StemError, revived
from stemcli.engine.events import Event, ModelLoaded
from stemcli.engine.options import Options
from stemcli.engine.session import Session
from stemcli.process import peak_memory

SAMPLE_RATE = 44100


@dataclass(frozen=True)
class Probe:
    """One process that separates noise.

    Attributes:
        model: its name, or a file.
        precision: as ``--precision`` has it.
        device: as ``--device`` has it.
        seconds: of stereo at 44.1 kHz.
    """

    model: str
    precision: str
    device: str
    seconds: float


@dataclass(frozen=True)
class SpeedReading:
    """What a probe found.

    Attributes:
        model: as tables call it.
        device: where it ran.
        precision: what the network computed with.
        times_real_time: seconds of sound separated in a second, without starting and without files.
        start_seconds: from nothing to a network that is ready: Python, imports, weights.
        memory: most that the process held at once, in bytes.
        gpu_memory: the same on the GPU; 0 on the processor.
    """

    model: str
    device: str
    precision: str
    times_real_time: float
    start_seconds: float
    memory: int
    gpu_memory: int


@dataclass(frozen=True)
class Speed:
    """Medians over several processes, each with a probe."""

    model: str
    device: str
    precision: str
    times_real_time: float
    start_seconds: float
    memory: int
    gpu_memory: int
    rounds: int
    seconds: float


def measure(
    probes: Sequence[Probe], rounds: int, tell: Callable[[Probe, SpeedReading], None]
) -> list[Speed]:
    """Probe all in turn, several times over, so that what disturbs the machine disturbs all.

    Args:
        probes: one for each model and precision.
        rounds: how often.
        tell: hears every reading.

    Raises:
        StemError: what a probe met, in its own words.
    """
    readings: dict[Probe, list[SpeedReading]] = {probe: [] for probe in probes}
    for _ in range(rounds):
        for probe in probes:
            reading = run(probe)
            tell(probe, reading)
            readings[probe].append(reading)
    return [summed(found, probe.seconds) for probe, found in readings.items()]


def run(probe: Probe) -> SpeedReading:
    """Start a process and read what it prints.

    Raises:
        StemError: what it met.
    """
    begun = time.time()
    words = [sys.executable, "-P", "-m", "trainers.evaluation.speed", json.dumps(asdict(probe))]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=_environment())
    try:
        told = json.loads(_last_line(done.stdout))
    except ValueError as error:
        raise StemError(
            f"{probe.model} could not be measured: {_last_line(done.stderr)}"
        ) from error
    if "error" in told:
        raise revived(told["error"], told["sentence"])
    ready = told.pop("ready")
    return SpeedReading(start_seconds=ready - begun, **told)


def summed(readings: Sequence[SpeedReading], seconds: float) -> Speed:
    """Medians of the readings of one probe."""
    last = readings[-1]
    return Speed(
        last.model,
        last.device,
        last.precision,
        median(each.times_real_time for each in readings),
        median(each.start_seconds for each in readings),
        round(median(each.memory for each in readings)),
        round(median(each.gpu_memory for each in readings)),
        len(readings),
        seconds,
    )


def machine(device: str) -> str:
    """What the numbers belong to: the processor and how much of it, or the GPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores"


def probe_here(probe: Probe) -> dict[str, Any]:
    """Load a network, warm it up, and separate noise."""
    told: list[Event] = []
    chosen = {"model": [probe.model], "precision": probe.precision, "device": probe.device}
    session = Session(Options.from_dict(chosen), told.append)
    name = session.ensemble.name
    ready = time.time()
    loaded = next(event for event in told if isinstance(event, ModelLoaded))
    shape = (round(probe.seconds * SAMPLE_RATE), 2)
    noise = 0.1 * np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    session.separate_array(noise[: 10 * SAMPLE_RATE], SAMPLE_RATE)
    begun = time.perf_counter()
    session.separate_array(noise, SAMPLE_RATE)
    seconds = time.perf_counter() - begun
    return {
        "ready": ready,
        "model": name,
        "device": loaded.device,
        "precision": loaded.precision,
        "times_real_time": probe.seconds / seconds,
        "memory": peak_memory(),
        "gpu_memory": _gpu_peak(loaded.device),
    }


def _gpu_peak(device: str) -> int:
    return torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else 0


def _processor() -> str:
    """Its name, where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _environment() -> dict[str, str]:
    """This one, with all places that this process imports from."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]


def main() -> None:
    """Answer one probe with one line of JSON."""
    try:
        answer = probe_here(Probe(**json.loads(sys.argv[1])))
    except StemError as error:
        answer = {"error": type(error).__name__, "sentence": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

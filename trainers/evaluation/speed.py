"""Measures speed and memory of models, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch

from model_zoo.errors import StemError, describe_error, revived
from stemcli.engine.device import machine as device_machine
from stemcli.engine.events import Event, ModelLoaded
from stemcli.engine.options import Options
from stemcli.engine.session import Session
from stemcli.process import peak_memory

SAMPLE_RATE = 44100


@dataclass(frozen=True)
class Probe:
    """Settings of one process that separates noise.

    Attributes:
        model: name of the model, or a file.
        precision: value of ``--precision``.
        device: value of ``--device``.
        seconds: duration of the noise, in stereo at 44.1 kHz.
    """

    model: str
    precision: str
    device: str
    seconds: float


@dataclass(frozen=True)
class SpeedReading:
    """Result of one probe.

    Attributes:
        model: name of the model in tables.
        device: device that it ran on.
        precision: precision of the computation.
        times_real_time: seconds of audio separated per second, without start-up and files.
        start_seconds: start-up time of Python, imports and weights.
        memory: peak memory of the process, in bytes.
        gpu_memory: peak GPU memory, in bytes; 0 on the CPU.
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
    """Medians over several runs of a probe."""

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
    probes: Sequence[Probe], rounds: int, on_reading: Callable[[Probe, SpeedReading], None]
) -> list[Speed]:
    """Run all probes in turn, several rounds, so that disturbances affect all of them.

    Args:
        probes: one for each model and precision.
        rounds: number of rounds.
        on_reading: receives every reading.

    Raises:
        StemError: a probe failed; the message is its own.
    """
    readings: dict[Probe, list[SpeedReading]] = {probe: [] for probe in probes}
    for _ in range(rounds):
        for probe in probes:
            reading = run(probe)
            on_reading(probe, reading)
            readings[probe].append(reading)
    return [summed(found, probe.seconds) for probe, found in readings.items()]


def run(probe: Probe) -> SpeedReading:
    """Run a probe in a new process and parse its output.

    Raises:
        StemError: the probe failed.
    """
    begun = time.time()
    words = [sys.executable, "-P", "-m", "trainers.evaluation.speed", json.dumps(asdict(probe))]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=_environment())
    try:
        reading = json.loads(_last_line(done.stdout))
    except ValueError as error:
        raise StemError(
            f"{probe.model} could not be measured: {_last_line(done.stderr)}"
        ) from error
    if "error" in reading:
        raise revived(reading["error"], reading["sentence"])
    ready = reading.pop("ready")
    return SpeedReading(start_seconds=ready - begun, **reading)


def summed(readings: Sequence[SpeedReading], seconds: float) -> Speed:
    """Return the medians of the readings of one probe."""
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
    """Describe the machine: CPU and cores, or the GPU."""
    return device_machine(torch.device(device))


def probe_here(probe: Probe) -> dict[str, Any]:
    """Load a network, warm it up and separate noise."""
    events: list[Event] = []
    chosen = {"model": [probe.model], "precision": probe.precision, "device": probe.device}
    session = Session(Options.from_dict(chosen), events.append)
    name = session.networks.name
    ready = time.time()
    loaded = next(event for event in events if isinstance(event, ModelLoaded))
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


def _environment() -> dict[str, str]:
    """Return the environment with all import paths of this process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]


def main() -> None:
    """Run one probe and print one line of JSON."""
    try:
        answer = probe_here(Probe(**json.loads(sys.argv[1])))
    except StemError as error:
        answer = {"error": type(error).__name__, "sentence": describe_error(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

"""Size, speed and memory of every architecture at the size of its recipe.

    python -m tests.benchmarks.zoo [--only NAME]... [--rounds N] [--set KEY=VALUE]...

Each architecture is measured in a separate process. Speed is that of the network alone on one
segment of a stereo song, on all cores and in the precision that ``stem separate`` would choose: the
median of the rounds after a warm-up. With a GPU, the same is measured there, and also the memory of
training steps with the recipe's clips (forward, L1 loss, backward, AdamW). Prints a Markdown table.
To compare: the TFSWA-UNet claims 15 million parameters, 60 MB, 8 GB in training, and separation in
a tenth of the song's time on a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from model_zoo import registry
from model_zoo.separator import Separator
from stemcli.engine.device import resolve_device, resolve_precision
from tests.benchmarks.common import resident_unit
from trainers.config import Recipe
from trainers.loop.execution import checkpoint_blocks
from trainers.loop.optimizer import build_optimizers
from trainers.objectives.base import folded
from trainers.recipes.loading import load_recipe

STEREO = 2
STEPS = 2
"""Number of training steps; from the second on, the optimizer has its state."""

MEGA, GIGA = 1e6, 1e9

COLUMNS = (
    "name",
    "what for",
    "parameters",
    "MB in float32 / float16",
    "segment",
    "CPU: s for a segment",
    "CPU: times real time",
    "CPU: peak MB",
    "GPU: times real time",
    "GPU: training GB (clips at once)",
)


@dataclass(frozen=True)
class Speed:
    """Speed of a network on one segment.

    Attributes:
        seconds: median time in seconds.
        factor: seconds of a stereo song processed per second.
        peak: peak memory in bytes; on a CPU, that of the process.
        precision: name of the precision.
    """

    seconds: float
    factor: float
    peak: int
    precision: str


@dataclass(frozen=True)
class Measured:
    """All measurements of one architecture; the last two only with a GPU."""

    name: str
    purpose: str
    parameters: int
    full: int
    half: int
    segment: float
    batch: int
    cpu: Speed
    gpu: Speed | None
    training: int


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", metavar="NAME", help="these alone (all)")
    parser.add_argument("--rounds", type=int, default=3, help="timed passes (3)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="of the recipe"
    )
    parser.add_argument("--measure", metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        results = measure(arguments.measure, arguments.rounds, tuple(arguments.set))
        print(json.dumps(asdict(results)))
        return
    print(f"{machine()}\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    failed = [name for name in arguments.only or registry.ARCHITECTURES if not show(name)]
    raise SystemExit(f"failed: {', '.join(failed)}" if failed else 0)


def machine() -> str:
    """Description of the machine."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cores()} cores of {processor()}{gpu}, torch {torch.__version__}"


def processor() -> str:
    """Name of the processor, as far as the system reports it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            names = [line.partition(":")[2] for line in info if line.startswith("model name")]
    except OSError:
        names = []
    return names[0].strip() if names else platform.processor() or platform.machine()


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def show(name: str) -> bool:
    """Measure in a separate process and print the row; returns whether it succeeded."""
    command = [sys.executable, "-m", "tests.benchmarks.zoo", *sys.argv[1:], "--measure", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name}: {done.stderr}", file=sys.stderr, flush=True)
        return False
    results = json.loads(done.stdout.splitlines()[-1])
    speeds = {key: results[key] and Speed(**results[key]) for key in ("cpu", "gpu")}
    print(row(Measured(**{**results, **speeds})), flush=True)
    return True


def row(measured: Measured) -> str:
    """One line of the table."""
    cells = (
        f"`{measured.name}`",
        measured.purpose,
        f"{measured.parameters / MEGA:.1f} M",
        f"{measured.full / MEGA:.1f} / {measured.half / MEGA:.1f}",
        f"{measured.segment:.1f} s",
        f"{measured.cpu.seconds:.2f} ({measured.cpu.precision})",
        f"{measured.cpu.factor:.2f}",
        f"{measured.cpu.peak / MEGA:.0f}",
        f"{measured.gpu.factor:.0f} ({measured.gpu.precision})" if measured.gpu else "",
        f"{measured.training / GIGA:.1f} ({measured.batch})" if measured.gpu else "",
    )
    return f"| {' | '.join(cells)} |"


def measure(name: str, rounds: int, changes: Sequence[str]) -> Measured:
    """All measurements of one architecture; the CPU first, for an unaffected peak."""
    torch.manual_seed(0)
    torch.set_num_threads(cores())
    recipe = load_recipe(name, tuple(changes))
    network = registry.build(name, recipe.model.options)
    on_cpu = speed(network, "cpu", rounds)
    has_gpu = torch.cuda.is_available()
    return Measured(
        name,
        network.purpose,
        network.parameter_count(),
        *sizes(network),
        network.segment / network.sample_rate,
        clips_at_once(recipe),
        on_cpu,
        speed(network, "cuda", rounds) if has_gpu else None,
        training_memory(network, recipe) if has_gpu else 0,
    )


def sizes(network: Separator) -> tuple[int, int]:
    """Bytes of the tensors in a file, in float32 and with the weights in float16."""
    tensors = network.state_dict().values()
    full = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return full, full - 2 * network.parameter_count()


def speed(network: Separator, device: str, rounds: int) -> Speed:
    """Speed on one segment of a stereo song, repeated."""
    device_ = resolve_device(device)
    precision = resolve_precision("auto", device_, network.needs_float32)
    network.to(device_).eval()
    song = noise(1, network.segment).to(device_)

    def separate() -> None:
        with torch.inference_mode(), precision.autocast(device_):
            network(folded(song, network.channels))

    separate()
    seconds = statistics.median(timed(separate, device_) for _ in range(rounds))
    factor = network.segment / network.sample_rate / seconds
    return Speed(seconds, factor, peak(device_), precision.name)


def timed(work: Callable[[], None], device: torch.device) -> float:
    """Seconds until the work is done on the device."""
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def peak(device: torch.device) -> int:
    """Peak bytes so far: of the process, or of the tensors on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * resident_unit()


def training_memory(network: Separator, recipe: Recipe) -> int:
    """Peak bytes on the GPU in training steps with the recipe's settings."""
    device = torch.device("cuda")
    precision = resolve_precision(recipe.loop.precision, device, network.needs_float32)
    network.to(device).train()
    if recipe.loop.activation_checkpointing:
        checkpoint_blocks(network)
    optimizers = build_optimizers(network, recipe.optimizer)
    clips = noise(clips_at_once(recipe), round(recipe.data.clip_seconds * network.sample_rate))
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    for _ in range(STEPS):
        with precision.autocast(device):
            estimate = network(folded(clips.to(device), network.channels))
        error = estimate.float().abs().mean()
        torch.autograd.backward([error, *network.auxiliary_losses().values()])
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return peak(device)


def clips_at_once(recipe: Recipe) -> int:
    """Number of clips in one forward pass."""
    return recipe.loop.batch_size // recipe.loop.accumulation_steps


def noise(items: int, samples: int) -> Tensor:
    """Stereo noise at a typical level."""
    return 0.1 * torch.randn(items, STEREO, samples)


if __name__ == "__main__":
    main()

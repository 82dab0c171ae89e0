"""Every architecture at the size of its recipe: how large, how fast, how much memory.

    python -m tests.benchmarks.zoo [--only NAME]... [--rounds N] [--set KEY=VALUE]...

One architecture after the other, each in a process of its own. Speed is that of the network alone
over one segment of a stereo song, on all cores and in the arithmetic that ``stem separate`` would
choose; the median of the rounds, after one that is not counted. Where there is a GPU, the same is
measured there, and the memory of training steps with the recipe's clips, as many at once as it says
(forward, L1 loss, backward, AdamW). What is printed is a table in Markdown. The claims are those of
the TFSWA-UNet: 15 million parameters, 60 MB, 8 GB while training, separation in a tenth of the
song's time on a GPU.
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
"""Training steps; from the second on the optimizer has its state."""

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
    """One segment through a network.

    Attributes:
        seconds: median time.
        factor: seconds of a stereo song in one second.
        peak: bytes, on a CPU of the whole process.
        precision: of the arithmetic.
    """

    seconds: float
    factor: float
    peak: int
    precision: str


@dataclass(frozen=True)
class Measured:
    """All that is measured of one architecture; the last two where there is a GPU."""

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
        found = measure(arguments.measure, arguments.rounds, tuple(arguments.set))
        print(json.dumps(asdict(found)))
        return
    print(f"{where()}\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    failed = [name for name in arguments.only or registry.ARCHITECTURES if not show(name)]
    raise SystemExit(f"failed: {', '.join(failed)}" if failed else 0)


def where() -> str:
    """The machine."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cores()} cores of {processor()}{gpu}, torch {torch.__version__}"


def processor() -> str:
    """Its name, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            names = [line.partition(":")[2] for line in info if line.startswith("model name")]
    except OSError:
        names = []
    return names[0].strip() if names else platform.processor() or platform.machine()


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def show(name: str) -> bool:
    """Measure in a process of its own and print the row; whether that went well."""
    command = [sys.executable, "-m", "tests.benchmarks.zoo", *sys.argv[1:], "--measure", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name}: {done.stderr}", file=sys.stderr, flush=True)
        return False
    found = json.loads(done.stdout.splitlines()[-1])
    speeds = {key: found[key] and Speed(**found[key]) for key in ("cpu", "gpu")}
    print(row(Measured(**{**found, **speeds})), flush=True)
    return True


def row(found: Measured) -> str:
    """One line of the table."""
    cells = (
        f"`{found.name}`",
        found.purpose,
        f"{found.parameters / MEGA:.1f} M",
        f"{found.full / MEGA:.1f} / {found.half / MEGA:.1f}",
        f"{found.segment:.1f} s",
        f"{found.cpu.seconds:.2f} ({found.cpu.precision})",
        f"{found.cpu.factor:.2f}",
        f"{found.cpu.peak / MEGA:.0f}",
        f"{found.gpu.factor:.0f} ({found.gpu.precision})" if found.gpu else "",
        f"{found.training / GIGA:.1f} ({found.batch})" if found.gpu else "",
    )
    return f"| {' | '.join(cells)} |"


def measure(name: str, rounds: int, changes: Sequence[str]) -> Measured:
    """Everything of one architecture; the CPU first, so that its peak is of nothing else."""
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
        part_of(recipe),
        on_cpu,
        speed(network, "cuda", rounds) if has_gpu else None,
        training_memory(network, recipe) if has_gpu else 0,
    )


def sizes(network: Separator) -> tuple[int, int]:
    """Bytes of the tensors in a file, and of those with trainable values in float16."""
    tensors = network.state_dict().values()
    full = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return full, full - 2 * network.parameter_count()


def speed(network: Separator, device: str, rounds: int) -> Speed:
    """One segment of a stereo song, again and again."""
    place = resolve_device(device)
    precision = resolve_precision("auto", place, network.needs_float32)
    network.to(place).eval()
    song = noise(1, network.segment).to(place)

    def separate() -> None:
        with torch.inference_mode(), precision.autocast(place):
            network(folded(song, network.channels))

    separate()
    seconds = statistics.median(timed(separate, place) for _ in range(rounds))
    factor = network.segment / network.sample_rate / seconds
    return Speed(seconds, factor, peak(place), precision.name)


def timed(work: Callable[[], None], place: torch.device) -> float:
    """Seconds until all of it is done."""
    began = time.perf_counter()
    work()
    if place.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def peak(place: torch.device) -> int:
    """Bytes so far: of the process, or of the tensors on a GPU."""
    if place.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * resident_unit()


def training_memory(network: Separator, recipe: Recipe) -> int:
    """Peak bytes on the GPU in steps with the clips, precision and thrift of the recipe."""
    place = torch.device("cuda")
    precision = resolve_precision(recipe.loop.precision, place, network.needs_float32)
    network.to(place).train()
    if recipe.loop.activation_checkpointing:
        checkpoint_blocks(network)
    optimizers = build_optimizers(network, recipe.optimizer)
    clips = noise(part_of(recipe), round(recipe.data.clip_seconds * network.sample_rate))
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    for _ in range(STEPS):
        with precision.autocast(place):
            made = network(folded(clips.to(place), network.channels))
        error = made.float().abs().mean()
        torch.autograd.backward([error, *network.auxiliary_losses().values()])
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return peak(place)


def part_of(recipe: Recipe) -> int:
    """Clips that are computed at once."""
    return recipe.loop.batch_size // recipe.loop.accumulation_steps


def noise(items: int, samples: int) -> Tensor:
    """Stereo songs at a usual level."""
    return 0.1 * torch.randn(items, STEREO, samples)


if __name__ == "__main__":
    main()

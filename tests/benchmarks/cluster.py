"""Throughput of two cluster workers against one, and start-up time of ``stem train --cluster``.

    python -m tests.benchmarks.cluster [--recipe NAME] [--steps N] [--rounds N]

First, two workers of one core each against one worker of one core, alternately, on a cluster on
this machine: clips per second, from the median step time of all rounds without warm-up steps.
Then, alternately, the seconds from a command to its first optimizer step: ours against a script
that only starts Ray's TorchTrainer, with the same network and batches in memory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from stemcli.cluster import ray_session
from stemcli.engine.events import Event
from trainers.cluster.capacity import WorkerGroupPlan, WorkerResources
from trainers.cluster.job import TrainingJob, WorkerCount
from trainers.config import Recipe
from trainers.data.synthetic import sample_set
from trainers.loop.events import StepDone
from trainers.recipes.loading import load_recipe

WARM_UP = 3
"""Number of warm-up steps of a round, which are not counted."""

FIRST_STEP = b'"step_done"'


def main() -> None:
    """Print the throughput and the seconds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", default="quick", help="what is trained (quick)")
    parser.add_argument("--steps", type=int, default=18, help="steps of a round (18)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (3)")
    parser.add_argument("--bare", metavar="FILE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    recipe = shortened(load_recipe(arguments.recipe), arguments.steps)
    if arguments.bare:
        bare(recipe, Path(arguments.bare))
        return
    songs = sample_set(44_100)
    one, two = throughputs(recipe, songs, arguments.rounds)
    print(f"clips/s: two workers {two:.2f}, one {one:.2f}, ratio {two / one:.2f}")
    ours, theirs = first_steps(arguments.recipe, songs, arguments.rounds)
    print(
        f"seconds to the first step: ours {ours:.1f}, a bare TorchTrainer {theirs:.1f}, "
        f"difference {ours - theirs:.1f}"
    )


def shortened(recipe: Recipe, steps: int) -> Recipe:
    """The recipe of a round, without validation, and with data loading on the worker's core."""
    return replace(
        recipe,
        schedule=replace(recipe.schedule, steps=steps, stages=()),
        loop=replace(recipe.loop, num_workers=0, precision="fp32", checkpoint_every=steps),
        data=replace(recipe.data, validation_fraction=0.0),
        validation=replace(recipe.validation, every=10 * steps),
    )


def throughputs(recipe: Recipe, songs: Path, rounds: int) -> tuple[float, float]:
    """Clips per second of one worker and of two, measured alternately."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder, ray_session(alone=True):
        for number in range(rounds):
            for workers, durations in seconds.items():
                output = Path(folder, f"{number}-{workers}")
                durations.extend(steps_of(TrainingJob(recipe, songs, (), output), workers))
    one, two = (
        workers * recipe.loop.batch_size / statistics.median(durations)
        for workers, durations in seconds.items()
    )
    return one, two


def steps_of(job: TrainingJob, workers: int) -> list[float]:
    """Seconds of every step after the warm-up."""
    from trainers.cluster.launch import train_on_cluster

    durations: list[float] = []

    def on_event(event: Event) -> None:
        if isinstance(event, StepDone):
            durations.append(event.seconds)

    plan = WorkerGroupPlan(
        WorkerCount(workers, workers), WorkerResources(cores=1, gpus=0), workers, ()
    )
    train_on_cluster(job, plan, on_event)
    return durations[WARM_UP:]


def first_steps(recipe: str, songs: Path, rounds: int) -> tuple[float, float]:
    """Median seconds of ours and of the bare script, measured alternately."""
    ours, theirs = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            ours.append(until_first_step(recipe, songs, Path(folder, "run")))
            theirs.append(until_bare_step(recipe, Path(folder, "step")))
    return statistics.median(ours), statistics.median(theirs)


def until_first_step(recipe: str, songs: Path, output: Path) -> float:
    """Seconds from ``stem train --cluster`` to its first step."""
    options = [
        "--recipe",
        recipe,
        "--data",
        str(songs),
        "-o",
        str(output),
        "--workers",
        "2",
        "--json",
    ]
    command = [sys.executable, "-m", "stemcli", "train", "--cluster", *options]
    return timed(command, lambda process: any(FIRST_STEP in line for line in process.stdout or ()))


def until_bare_step(recipe: str, marker: Path) -> float:
    """Seconds from the start of the bare script to its first step."""
    command = [sys.executable, "-m", __spec__.name, "--recipe", recipe, "--bare", str(marker)]

    def wait_for_marker(process: subprocess.Popen[bytes]) -> bool:
        while not marker.exists() and process.poll() is None:
            time.sleep(0.02)
        return marker.exists()

    return timed(command, wait_for_marker)


def timed(command: list[str], wait: Callable[[subprocess.Popen[bytes]], bool]) -> float:
    """Seconds until ``wait`` sees the first step of a process, which is then terminated."""
    env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    started = time.perf_counter()
    pipe, devnull = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdout=pipe, stderr=devnull, env=env) as process:
        seen = wait(process)
        seconds = time.perf_counter() - started
        process.terminate()
        process.communicate()
    if not seen:
        raise SystemExit(f"{' '.join(command)} took no step")
    return seconds


def bare(recipe: Recipe, marker: Path) -> None:
    """A hand-written baseline: Ray's TorchTrainer around a loop over one batch."""
    from ray.train import ScalingConfig
    from ray.train.torch import TorchTrainer

    scaling = ScalingConfig(num_workers=2)
    config = {"recipe": recipe, "sign": marker}
    TorchTrainer(bare_loop, train_loop_config=config, scaling_config=scaling).fit()


def bare_loop(config: Mapping[str, Any]) -> None:
    """Training steps of the recipe's network; the first worker touches a file after its first."""
    import ray.train
    import ray.train.torch

    from model_zoo import registry

    recipe: Recipe = config["recipe"]
    model = registry.build(recipe.model.architecture, recipe.model.options)
    network = ray.train.torch.prepare_model(model)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    shape = (recipe.loop.batch_size, model.channels, round(recipe.data.clip_seconds * 44_100))
    mixture = torch.randn(shape)
    for _ in range(recipe.schedule.steps):
        optimizer.zero_grad()
        network(mixture).square().mean().backward()
        optimizer.step()
        if ray.train.get_context().get_world_rank() == 0:
            config["sign"].touch()


if __name__ == "__main__":
    main()

"""Overhead of our training loop over a bare loop, and speed of the data loader.

    python -m tests.benchmarks.training [--recipe NAME] [--steps N] [--rounds N]

The bare loop is hand-written: the same network, losses and optimizers on batches in memory. Ours
loads and mixes its data, averages weights, and writes its log. Both run alternately in one process;
step times are medians over all rounds, without warm-up steps. Then the data loader runs alone, and
is compared with the time that the network of the recipe ``melroformer`` takes for as many clips
(about 10 GB of memory).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import torch

from model_zoo import registry
from stemcli.engine.events import Event
from trainers.config import Recipe
from trainers.data.loading import Pair, load_batches
from trainers.data.synthetic import render_songs
from trainers.data.training_data import TrainingData, open_data
from trainers.loop.events import StepDone
from trainers.loop.execution import SingleDevice
from trainers.loop.optimizer import build_optimizers
from trainers.loop.trainer import train
from trainers.losses import make_loss
from trainers.objectives.base import folded, unfolded
from trainers.recipes.loading import load_recipe

CPU = SingleDevice(torch.device("cpu"))
WARM_UP = 2
"""Number of warm-up steps of a round, which are not counted."""

SECONDS = 2.0
"""Length of a clip in seconds."""


def main() -> None:
    """Print both ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", default="quick", help="of the two loops (quick)")
    parser.add_argument("--steps", type=int, default=22, help="steps of a round (22)")
    parser.add_argument("--rounds", type=int, default=4, help="rounds of each loop (4)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        songs = Path(name, "songs")
        render_songs(songs, songs=8, seconds=30, sample_rate=44_100, seed=0)
        recipe = shortened(load_recipe(arguments.recipe), arguments.steps)
        ours, bare = both_loops(recipe, songs, arguments.rounds, Path(name))
        print(f"steps/s: ours {1 / ours:.3f}, bare {1 / bare:.3f}, ratio {bare / ours:.3f}")
        large = shortened(load_recipe("melroformer"), 4)
        network_seconds = statistics.median(bare_steps(large, batches_in_memory(large, songs)))
        loader_seconds = seconds_per_batch(large, songs, 40)
        print(
            f"batches/s: loader {1 / loader_seconds:.2f}, melroformer {1 / network_seconds:.3f}, "
            f"ratio {network_seconds / loader_seconds:.1f}"
        )


def shortened(recipe: Recipe, steps: int) -> Recipe:
    """The recipe of a round on a CPU."""
    return replace(
        recipe,
        schedule=replace(recipe.schedule, steps=steps, stages=()),
        loop=replace(
            recipe.loop, batch_size=2, num_workers=1, precision="fp32", checkpoint_every=steps
        ),
        data=replace(recipe.data, clip_seconds=SECONDS, validation_fraction=0.0),
    )


def both_loops(recipe: Recipe, songs: Path, rounds: int, folder: Path) -> tuple[float, float]:
    """Median seconds per step of ours and of the bare loop, measured alternately."""
    batches = batches_in_memory(recipe, songs)
    ours: list[float] = []
    bare: list[float] = []
    for number in range(rounds):
        ours += our_steps(recipe, songs, folder / f"run-{number}")
        bare += bare_steps(recipe, batches)
    return statistics.median(ours), statistics.median(bare)


def open_clips(recipe: Recipe, songs: Path) -> TrainingData:
    """The training data of the songs for the recipe's network."""
    with torch.device("meta"):
        model = registry.build(recipe.model.architecture, recipe.model.options)
    return open_data(recipe, songs, (), model.stems, model.sample_rate)


def batches_in_memory(recipe: Recipe, songs: Path) -> list[Pair]:
    """A few batches in memory."""
    return [*load_batches(open_clips(recipe, songs).clips, 0, 4, recipe.loop.batch_size)]


def our_steps(recipe: Recipe, songs: Path, folder: Path) -> list[float]:
    """Seconds of every step after the warm-up."""
    steps: list[float] = []

    def on_event(event: Event) -> None:
        if isinstance(event, StepDone):
            steps.append(event.seconds)

    train(recipe, songs, (), folder, CPU, on_event)
    return steps[WARM_UP:]


def bare_steps(recipe: Recipe, batches: list[Pair]) -> list[float]:
    """Seconds of every step after the warm-up, in the hand-written loop."""
    torch.manual_seed(recipe.seed)
    model = registry.build(recipe.model.architecture, recipe.model.options)
    losses = {
        name: make_loss(name, model.sample_rate, recipe.loss_options.get(name))
        for name in recipe.losses
    }
    optimizers = build_optimizers(model, recipe.optimizer)
    seconds = []
    for mixture, stems in islice(cycle(batches), recipe.schedule.steps):
        started = time.perf_counter()
        estimate = unfolded(model(folded(mixture, model.channels)), mixture.shape[1])
        loss = torch.stack(
            [recipe.losses[name] * measure(estimate, stems) for name, measure in losses.items()]
        ).sum()
        model.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.optimizer.max_grad_norm)
        for optimizer in optimizers:
            optimizer.step()
        seconds.append(time.perf_counter() - started)
    return seconds[WARM_UP:]


def seconds_per_batch(recipe: Recipe, songs: Path, count: int) -> float:
    """Seconds per batch of the loader alone, with two worker processes."""
    batches = load_batches(open_clips(recipe, songs).clips, 0, count, recipe.loop.batch_size, 2)
    next(batches)
    started = time.perf_counter()
    number = sum(1 for _ in batches)
    return (time.perf_counter() - started) / number


if __name__ == "__main__":
    main()

"""What our training loop costs beside a bare one, and whether the data keep up.

    python -m tests.benchmarks.training [--steps N] [--rounds N]

The bare loop is what one writes by hand: the same network, loss and optimiser over batches that lie
in memory already. Ours loads and mixes its data, averages weights, logs to TensorBoard, validates
nothing. Both run in turns in one process; a step's time is the median over all rounds but the first
step of each. Then the data loader runs alone, as fast as it can, for the network of the recipe
``melroformer``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import torch
from trainers.data.synthetic import render_songs
from trainers.loop.logbook import keep_logs

from model_zoo import registry
from stemcli.engine.events import Event
from trainers.config import Recipe
from trainers.data.loading import load_batches
from trainers.data.opening import TrainingData, open_data
from trainers.loop.events import StepDone
from trainers.loop.run import run
from trainers.loop.worker import LocalWorker
from trainers.losses import make_loss
from trainers.recipes import load_recipe

CPU = LocalWorker(torch.device("cpu"))


def main() -> None:
    """Print both ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=12, help="steps of a round (12)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each loop (3)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        songs = Path(name, "songs")
        render_songs(songs, songs=8, seconds=30, sample_rate=44_100, seed=0)
        recipe = shortened(load_recipe("melroformer"), arguments.steps)
        data = found(recipe, songs)
        batches = [*islice(load_batches(data.clips, 0, 4, recipe.loop.batch_size), 4)]
        ours, bare = [], []
        for number in range(arguments.rounds):
            ours += our_steps(recipe, songs, Path(name, f"run-{number}"))
            bare += bare_steps(recipe, batches, arguments.steps)
        loop, plain = statistics.median(ours), statistics.median(bare)
        print(
            f"our loop {1 / loop:.3f}, bare loop {1 / plain:.3f} steps/s, ratio {plain / loop:.2f}"
        )
        loading = seconds_per_batch(recipe, data, arguments.steps)
        print(f"loader alone {1 / loading:.2f} batches/s, {plain / loading:.1f} x what is taken")


def shortened(recipe: Recipe, steps: int) -> Recipe:
    """The recipe for a round on a processor."""
    return replace(
        recipe,
        schedule=replace(recipe.schedule, steps=steps, stages=()),
        loop=replace(recipe.loop, batch_size=2, workers=1, precision="fp32", save_every=steps),
        data=replace(recipe.data, held_out=0.0),
    )


def found(recipe: Recipe, songs: Path) -> TrainingData:
    """Clips of the songs for the recipe's network."""
    with torch.device("meta"):
        model = registry.build(recipe.model.architecture, recipe.model.options)
    return open_data(recipe, songs, (), model.stems, model.sample_rate)


def our_steps(recipe: Recipe, songs: Path, folder: Path) -> list[float]:
    """Seconds of every step but the first."""
    steps: list[float] = []
    with keep_logs(recipe, folder, 0) as log:

        def hear(event: Event) -> None:
            log(event)
            if isinstance(event, StepDone):
                steps.append(event.seconds)

        run(recipe, songs, (), folder, CPU, hear)
    return steps[1:]


def bare_steps(
    recipe: Recipe, batches: list[tuple[torch.Tensor, torch.Tensor]], steps: int
) -> list[float]:
    """Seconds of every step but the first, in the loop that one writes by hand."""
    torch.manual_seed(recipe.seed)
    model = registry.build(recipe.model.architecture, recipe.model.options)
    losses = [
        (weight, make_loss(name, model.sample_rate, recipe.loss_options.get(name)))
        for name, weight in recipe.losses.items()
    ]
    optimiser = torch.optim.AdamW(model.parameters(), recipe.optimiser.lr)
    seconds = []
    for mixture, stems in islice(cycle(batches), steps):
        began = time.perf_counter()
        made = model(mixture.flatten(0, 1).unsqueeze(1)).unflatten(0, mixture.shape[:2])
        made = made.squeeze(3).transpose(1, 2)
        loss = sum(weight * measure(made, stems) for weight, measure in losses)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.optimiser.clip)
        optimiser.step()
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def seconds_per_batch(recipe: Recipe, data: TrainingData, steps: int) -> float:
    """Of the loader alone, with as many helper processes as the machine has processors."""
    count = 4 * steps
    batches: Iterator[object] = load_batches(data.clips, 0, count, recipe.loop.batch_size, 2)
    next(batches)
    began = time.perf_counter()
    taken = sum(1 for _ in batches)
    return (time.perf_counter() - began) / taken


if __name__ == "__main__":
    main()

"""How a run looks in a terminal."""

from __future__ import annotations

import click

from trainers.config import Recipe
from trainers.loop.train import Report, StepDone, Validated


def printer(recipe: Recipe, quiet: bool) -> Report:
    """A report that prints a line every ten steps and after every validation."""
    recent: list[StepDone] = []

    def show(event: StepDone | Validated) -> None:
        if isinstance(event, Validated):
            scores = ", ".join(f"{stem} {sdr:.2f} dB" for stem, sdr in event.sdr.items())
            click.echo(f"step {event.step}: SDR {scores}{'  (best)' if event.best else ''}")
            return
        recent.append(event)
        if len(recent) == 10:
            if not quiet:
                click.echo(_line(recent, recipe))
            recent.clear()

    return show


def _line(steps: list[StepDone], recipe: Recipe) -> str:
    count = len(steps)
    losses = "  ".join(
        f"{name} {sum(step.losses[name] for step in steps) / count:.4f}" for name in steps[0].losses
    )
    seconds = sum(step.seconds for step in steps) / count
    left = seconds * (recipe.schedule.steps - steps[-1].step) / 60
    norm = sum(step.gradient_norm for step in steps) / count
    return (
        f"step {steps[-1].step}/{recipe.schedule.steps}  {losses}  gradient {norm:.2f}  "
        f"lr x{steps[-1].lr_factor:.2f}  {seconds:.2f} s a step  {left:.0f} min left"
    )

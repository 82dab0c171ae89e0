"""How a run looks in a terminal."""

from __future__ import annotations

from stemcli.cli.console import Console
from stemcli.cli.words import clock
from stemcli.engine.events import Event
from trainers.config import Recipe
from trainers.loop.events import Report, StepDone, Validated

STEPS_PER_LINE = 10


def printer(recipe: Recipe, console: Console) -> Report:
    """A report that tells a program every event, and people every tenth step and validations."""
    recent: list[StepDone] = []

    def show(event: Event) -> None:
        console.show(event)
        if isinstance(event, Validated):
            console.line(_scores(event))
        if not isinstance(event, StepDone):
            return
        recent.append(event)
        if len(recent) == STEPS_PER_LINE or event.step == recipe.schedule.steps:
            console.line(_steps(recent, recipe.schedule.steps))
            recent.clear()

    return show


def _scores(event: Validated) -> str:
    scores = ", ".join(f"{stem} {sdr:.2f} dB" for stem, sdr in event.sdr.items())
    return f"step {event.step}: SDR {scores}{'  (best)' if event.best else ''}"


def _steps(steps: list[StepDone], last: int) -> str:
    """Means over ``steps``."""
    count, step = len(steps), steps[-1].step
    losses = "  ".join(
        f"{name} {sum(step.losses[name] for step in steps) / count:.4f}" for name in steps[0].losses
    )
    seconds = sum(step.seconds for step in steps) / count
    norm = sum(step.gradient_norms["model"] for step in steps) / count
    rate = steps[-1].learning_rates["model"]
    return (
        f"step {step}/{last}  {losses}  gradient {norm:.2f}  lr x{rate:.2f}  "
        f"{seconds:.2f} s a step  {clock(seconds * (last - step))} left"
    )

"""How a run looks: lines for a log, or a table that moves (:mod:`trainers.cli.live`)."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from stemcli.cli.console import Console
from stemcli.cli.words import clock, counted, millions
from stemcli.closing import Closing
from stemcli.engine.events import Event
from trainers.cli.crew import crew_line
from trainers.cli.figures import Figures, number, percent, shown
from trainers.cluster.events import CrewEvent
from trainers.config import Recipe
from trainers.loop.events import RunFinished, RunStarted, StepDone, Validated
from trainers.loop.means import mean_of_each


def open_display(recipe: Recipe, console: Console, data: str = "") -> Display:
    """The display that fits the console.

    Args:
        recipe: of the run.
        console: where people or programs read.
        data: what is learned from, in words.
    """
    from stemcli.cli.live import LiveConsole

    if isinstance(console, LiveConsole):
        from trainers.cli.live import LiveDisplay

        return LiveDisplay(recipe, console, data)
    return Display(recipe, console, data)


class Display(Closing):
    """Tells a program every event, and people in lines how it goes on the mean.

    A context manager: what moves on the screen comes to rest at the end.
    """

    def __init__(self, recipe: Recipe, console: Console, data: str = "") -> None:
        self.console = console
        self.data = data
        self.figures = Figures(recipe)
        self._lock = threading.Lock()
        self._recent: list[StepDone] = []
        self._told = False

    def close(self) -> None:
        """Bring to rest what moves."""

    def show(self, event: Event) -> None:
        """Show what the loop tells; sound is for logs alone."""
        self.console.show(event)
        with self._lock:
            self.figures.note(event)
        match event:
            case RunStarted():
                self.on_started(event)
            case StepDone():
                self.on_step(event)
            case Validated():
                self.on_validated(event)
            case RunFinished():
                self.on_finished(event)
            case CrewEvent():
                self.on_crew(event)

    def say(self, text: str) -> None:
        """Say one line that stays."""
        self.console.line(text)

    def on_started(self, event: RunStarted) -> None:
        """Say what is trained, where and on what; a crew that goes on has the same facts."""
        again = [going_on(event) or "Beginning again: nothing was saved yet"]
        for line in again if self._told else facts(event, self.data):
            self.say(line)
        self._told = True
        self._recent.clear()

    def on_step(self, event: StepDone) -> None:
        """Say now and then how it goes."""
        self._recent.append(event)
        if event.step % self.figures.recipe.log.every == 0 or event.step == self.figures.steps:
            self.say(progress(self._recent, self.figures, self.console.verbose))
            self._recent.clear()

    def on_validated(self, event: Validated) -> None:
        """Say how good it is."""
        self.say(scores(event, self.figures))

    def on_crew(self, event: CrewEvent) -> None:
        """Say what happens to the workers of a cluster."""
        line = crew_line(event)
        if line:
            self.say(line)

    def on_finished(self, event: RunFinished) -> None:
        """Say why it ended and how good it became."""
        word, unit = self.figures.score
        best = "" if event.best_mean is None else f"; best {word} {event.best_mean:.2f} {unit}"
        self.say(f"Finished after {counted(event.step, 'step')}: {event.reason}{best}")


def facts(event: RunStarted, data: str) -> list[str]:
    """What is trained, where and on what: a line each."""
    judges = event.discriminator_parameters
    against = f" against {millions(judges)} of discriminators" if judges else ""
    lines = [
        f"Recipe {event.recipe}: {event.architecture}, {millions(event.parameters)} parameters"
        f"{against}, on {event.device}, {event.precision}"
    ]
    lines.extend(_found(event, data))
    lines += filter(None, [going_on(event)])
    return lines


def going_on(event: RunStarted) -> str:
    """From where; empty at the beginning."""
    if not event.first_step:
        return ""
    return f"Going on after step {event.first_step:,} of {event.steps:,}"


def _found(event: RunStarted, data: str) -> list[str]:
    """What there is to learn from."""
    if event.data:
        first, *rest = event.data
        return [f"Data: {', '.join(filter(None, (data, first)))}", *rest]
    songs = counted(event.validation_songs, "validation song") if event.validation_songs else ""
    told = ", ".join(filter(None, (data, songs or "no validation songs")))
    return [f"Data: {told}"]


def progress(steps: Sequence[StepDone], figures: Figures, verbose: bool) -> str:
    """One line: means over ``steps``, the pace and the time left."""
    last, pace = steps[-1], figures.pace
    losses = mean_of_each([step.losses for step in steps])
    norms = mean_of_each([step.gradient_norms for step in steps])
    parts = [f"step {last.step}/{figures.steps}"]
    parts += [f"epoch {figures.epoch:.1f}"] if figures.epoch is not None else []
    parts += [f"{name} {number(losses[name])}" for name in shown(losses, verbose)]
    parts += [f"gradient{_whose(name)} {number(norm)}" for name, norm in norms.items()]
    parts += [f"rate{_whose(name)} {rate:.3g}" for name, rate in last.learning_rates.items()]
    parts += [f"{pace.seconds:.2f} s a step, {percent(pace.waiting)} waiting for data"]
    parts += [f"{clock(figures.left)} left"] if figures.left else []
    return "  ".join(parts)


def scores(event: Validated, figures: Figures) -> str:
    """One validation as a line: all stems, their mean and how it moved."""
    word, unit = figures.score
    named = event.sdr | ({"mean": event.mean} if len(event.sdr) > 1 else {})
    told = ", ".join(f"{name} {value:.2f}" for name, value in named.items())
    moved = figures.mean.change if figures.mean else None
    change = "" if moved is None else f" ({moved:+.2f})"
    found = "".join(f", {name} {value:.4g}" for name, value in event.findings.items())
    best = ", best so far" if event.best else ""
    return f"step {event.step}: {word} {told} {unit}{change}{best}{found}"


def _whose(name: str) -> str:
    return "" if name == "model" else f" of {name}"

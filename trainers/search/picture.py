"""A picture of a search: how every trial learned, the best so far, and what each value did."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from trainers.search.canvas import INK, LARGE, PALE, Axis, Box, Canvas, Panel
from trainers.search.parameters import Dimension, Listed
from trainers.search.space import Space, short
from trainers.search.trials import Trial, Trials

WIDTH, MARGIN, GAP = 1280, 40, 70
TOP, TALL, LOW, BETWEEN = 110, 260, 150, 74
"""Heights in pixels: head, large plots, small plots, and what lies between them."""

COLUMNS = 4
DONE, STOPPED, BEST, FAILED = "#2f6c9f", "#a9bac8", "#d8473f", "#8a6d3b"
FURTHEST = 3.0
"""How far below the best the axis goes, in distances between the best and the median."""


def draw_search(trials: Trials, space: Space, title: str, path: Path) -> None:
    """Draw all trials.

    Args:
        trials: of the search.
        space: what was varied.
        title: first line.
        path: of the PNG.

    Raises:
        OutputError: the file cannot be written.
    """
    rows = -(-len(space.dimensions) // COLUMNS)
    height = TOP + TALL + BETWEEN + rows * (LOW + BETWEEN)
    canvas = Canvas(WIDTH, height)
    _head(canvas, trials, title)
    height_axis = sdr_axis(trials)
    left, right = _columns(2)
    _curves(canvas, left, height_axis, trials)
    _progress(canvas, right, height_axis, trials)
    for index, one in enumerate(space.dimensions):
        row, column = divmod(index, COLUMNS)
        top = TOP + TALL + BETWEEN + row * (LOW + BETWEEN)
        begin, end = _columns(COLUMNS)[column]
        _effect(canvas, Box(begin, top, end, top + LOW), height_axis, trials, one)
    canvas.save(path)


def sdr_axis(trials: Trials) -> Axis:
    """From the worst to the best SDR in dB; a few that are far worse lie at the lower end."""
    scores = [trial.sdr for trial in trials if trial.sdr is not None]
    firsts = [sdr for trial in trials for _, sdr in trial.curve]
    if not scores:
        return Axis(0.0, 1.0)
    best = max(scores)
    reach = FURTHEST * (best - statistics.median(firsts))
    low = max(min(firsts), best - max(reach, 1.0))
    margin = 0.08 * max(best - low, 0.5)
    return Axis(low - margin, best + margin)


def _columns(count: int) -> list[tuple[float, float]]:
    """Left and right ends of plots side by side."""
    width = (WIDTH - MARGIN - count * GAP + GAP / 4) / count
    starts = [GAP + index * (width + GAP) for index in range(count)]
    return [(start, start + width) for start in starts]


def _head(canvas: Canvas, trials: Trials, title: str) -> None:
    best = trials.best
    first = f"best {best.sdr:.2f} dB, trial {best.number}" if best else "no trial was validated"
    canvas.text((GAP, 32), title, size=LARGE)
    canvas.text((GAP, 60), first, colour=BEST if best else PALE)
    x = float(WIDTH - MARGIN)
    for words, colour, state in (
        ("failed", FAILED, "failed"),
        ("stopped early", STOPPED, "stopped"),
        ("all steps", DONE, "done"),
    ):
        text = f"{sum(trial.state == state for trial in trials)} {words}"
        canvas.text((x, 60), text, colour=INK, anchor="rm")
        x -= canvas.width_of(text) + 12
        _mark(canvas, (x, 60), colour, state)
        x -= 28


def _mark(canvas: Canvas, place: tuple[float, float], colour: str, state: str) -> None:
    if state == "failed":
        canvas.cross(place, 4.5, colour)
    else:
        canvas.dot(place, 5, colour)


def _curves(canvas: Canvas, sides: tuple[float, float], sdr: Axis, trials: Trials) -> None:
    """The SDR of every trial over its steps."""
    steps = max((trial.step for trial in trials), default=0) or 1
    box = Box(sides[0], TOP, sides[1], TOP + TALL)
    panel = Panel(canvas, box, Axis(0, steps), sdr)
    panel.frame(f"{trials.score} in dB over steps")
    for trial in reversed(trials.ranked):
        points = [panel.at(*point) for point in trial.curve]
        colour, width = _colour(trial, trials), 3.0 if trial is trials.best else 1.6
        if len(points) > 1:
            canvas.line(points, colour, width)
        for point in points[-1:]:
            canvas.dot(point, 4, colour)


def _progress(canvas: Canvas, sides: tuple[float, float], sdr: Axis, trials: Trials) -> None:
    """Every trial, and the best of all until then."""
    numbers = tuple((number, str(number)) for number in _some([*trials.by_number]))
    count = max(2, len(trials))
    box = Box(sides[0], TOP, sides[1], TOP + TALL)
    panel = Panel(canvas, box, Axis(0.5, count + 0.5, ticks=numbers), sdr)
    panel.frame(f"best {trials.score} in dB over trials")
    scored = [trial for trial in trials if trial.sdr is not None and trial.state != "failed"]
    heights = accumulate((trial.sdr for trial in scored if trial.sdr is not None), max)
    stairs: list[tuple[float, float]] = []
    for trial, height in zip(scored, heights, strict=True):
        x, y = panel.at(trial.number, height)
        stairs += [(x, stairs[-1][1]), (x, y)] if stairs else [(x, y)]
    if stairs:
        stairs.append((box.right, stairs[-1][1]))
        canvas.line(stairs, BEST, 1.6)
    for trial in trials.ranked[::-1]:
        _place(panel, trial.number, trial, trials)


def _effect(canvas: Canvas, box: Box, sdr: Axis, trials: Trials, one: Dimension) -> None:
    """The SDR of every trial over one of its values."""
    panel = Panel(canvas, box, value_axis(one), sdr)
    panel.frame(one.name)
    for trial in trials.ranked[::-1]:
        if one.name in trial.params:
            _place(panel, _shifted(trial, trials, one), trial, trials)


def _shifted(trial: Trial, trials: Trials, one: Dimension) -> float:
    """Where a trial stands: beside others of the same value, if it is one of a list."""
    raw = trial.params[one.name]
    if not isinstance(one, Listed):
        return raw
    same = [other.number for other in trials if other.params.get(one.name) == raw]
    middle = (len(same) - 1) / 2
    return raw + (same.index(trial.number) - middle) * min(0.12, 0.6 / len(same))


def value_axis(one: Dimension) -> Axis:
    """The values that a hyperparameter may have; of numbers that multiply, what comes of them."""
    if isinstance(one, Listed):
        words = ["/".join(short(value) for value in option.values()) for option in one.options]
        ticks = tuple((float(place), text) for place, text in enumerate(words))
        return Axis(-0.5, len(words) - 0.5, ticks=ticks)
    low, high = one.domain.bounds
    places = [one.at(share) for share in (0.0, 0.5, 1.0)]
    labels = [f"{next(iter(one.changes(raw).values())):.2g}" for raw in places]
    return Axis(low, high, one.domain.log, tuple(zip(places, labels, strict=True)))


def _place(panel: Panel, x: float, trial: Trial, trials: Trials) -> None:
    """One trial as a dot; a cross at the lower end where nothing is known of it."""
    if trial.state == "failed" or trial.sdr is None:
        panel.canvas.cross(panel.at(x, panel.y.low), 4.5, FAILED)
        return
    is_best = trial is trials.best
    point = panel.at(x, trial.sdr)
    panel.canvas.dot(point, 6.5 if is_best else 4.5, _colour(trial, trials))


def _colour(trial: Trial, trials: Trials) -> str:
    if trial is trials.best:
        return BEST
    if trial.state == "failed":
        return FAILED
    return STOPPED if trial.state == "stopped" else DONE


def _some(numbers: Sequence[int], most: int = 12) -> Sequence[int]:
    """Not more than there is room for."""
    return numbers[:: -(-len(numbers) // most)] if numbers else numbers

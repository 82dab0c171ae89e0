"""The results of a search: tables for programs, a recipe for the next run, and a figure."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from model_zoo.files import staged
from stemcli.printable import cell
from trainers.config import Recipe
from trainers.loop.checkpoint import write_json
from trainers.search.parameters import Dimension, Listed
from trainers.search.plan import TRIALS, Plan
from trainers.search.space import Space, changed, short
from trainers.search.trials import Trial, Trials

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEST_RECIPE = "best.yaml"
JSON = "trials.json"
CSV = "trials.csv"
PICTURE = "search.png"

_DEFAULTS = Recipe(losses={"waveform_l1": 1.0}).to_dict() | {
    "losses": {},
    "seed": None,
    "model": {"options": {}},
}
"""Defaults that ``best.yaml`` leaves out; losses, seed and network options are always written."""


def write_tables(trials: Trials, plan: Plan, folder: Path) -> None:
    """Write ``trials.json`` and ``trials.csv``, the best trial first.

    Raises:
        OutputError: the folder cannot be written.
    """
    ranked = trials.ranked
    rows = [as_row(rank, trial) for rank, trial in enumerate(ranked, start=1)]
    document: dict[str, object] = {
        "architecture": plan.architecture,
        "recipe": plan.base.name,
        "trials": rows,
    }
    write_json(folder / JSON, document)
    keys = sorted({key for trial in ranked for key in trial.values})
    with (
        staged(folder / CSV) as temporary,
        # Excel reads CSV as UTF-8 only with a byte order mark.
        temporary.open("w", newline="", encoding="utf-8-sig") as file,
    ):
        writer = csv.writer(file)
        heads = [name for name in rows[0] if name not in ("values", "curve")] if rows else []
        writer.writerow([*heads, *keys])
        for row, trial in zip(rows, ranked, strict=True):
            values = [*(row[name] for name in heads), *(trial.values.get(key) for key in keys)]
            writer.writerow([cell(each) if isinstance(each, str) else each for each in values])


def as_row(rank: int, trial: Trial) -> dict[str, Any]:
    """Return a trial as a JSON row: SDR in dB, time in seconds."""
    return {
        "rank": rank,
        "trial": trial.number,
        "folder": f"{TRIALS}/{trial.name}",
        "state": trial.state,
        "sdr": trial.sdr,
        "steps": trial.step,
        "parameters": trial.parameters,
        "seconds": round(trial.seconds, 1),
        "reason": trial.reason,
        "values": trial.values,
        "curve": trial.curve,
    }


def write_best(trials: Trials, plan: Plan, folder: Path) -> Path | None:
    """Write the recipe of the best trial; returns its path, or None if all failed.

    Raises:
        OutputError: the folder cannot be written.
    """
    best = trials.best
    if best is None:
        return None
    recipe = changed(plan.base, best.values, f"{plan.base.name}-best")
    values = json.loads(json.dumps(different(recipe.to_dict(), _DEFAULTS)))
    path = folder / BEST_RECIPE
    with staged(path) as temporary:
        text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=100)
        temporary.write_text(_origin(best, plan, folder) + text, "utf-8")
    return path


def different(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that differ from the defaults."""
    kept: dict[str, Any] = {}
    for key, value in values.items():
        default = defaults.get(key)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            inner = different(value, default)
            if inner:
                kept[key] = inner
        elif value != default:
            kept[key] = value
    return kept


def _origin(best: Trial, plan: Plan, folder: Path) -> str:
    """Return the comment at the top of the recipe: which trial it comes from."""
    lines = [
        f"The best of {plan.trials} trials of stem tune {plan.architecture} around the recipe "
        f"{plan.base.name}:",
        f"trial {best.number}, {best.sdr:.2f} dB {plan.score} after {best.step} steps,"
        f" {best.parameters:,} parameters ({folder.resolve().name}/{TRIALS}/{best.name}).",
        f"Varied: {', '.join(f'{key}={value}' for key, value in best.values.items())}",
    ]
    return "".join(f"# {line}\n" for line in lines)


WIDTH, HEAD, TALL, LOW = 12.8, 0.9, 3.3, 2.2
"""Inches: width of the figure; heights of its title, its large plots and a row of small ones."""

COLUMNS = 4
"""Small plots in a row."""

BEST = "#d8473f"
KINDS = {
    "done": ("all steps", "#2f6c9f", "o"),
    "stopped": ("stopped early", "#a9bac8", "o"),
    "unfinished": ("unfinished", "#4f9d69", "s"),
    "failed": ("failed", "#8a6d3b", "x"),
}
"""Label, color and marker by the state of a trial."""

FURTHEST = 3.0
"""How far below the best score the axis reaches, in distances from the median to the best."""

MOST_TICKS = 12


def draw_search(trials: Trials, space: Space, title: str, path: Path) -> None:
    """Draw all trials: their curves, the best so far, and the score over each hyperparameter.

    Trials that failed or have no score yet are drawn at the lower end.

    Args:
        trials: trials of the search.
        space: space of the search.
        title: title of the figure.
        path: file to write, a PNG.

    Raises:
        OutputError: the file cannot be written.
    """
    from stemcli.plots import to_png

    picture = to_png(search_figure(trials, space, title))
    with staged(path) as temporary:
        temporary.write_bytes(picture)


def search_figure(trials: Trials, space: Space, title: str) -> Figure:
    """Two large plots and one for each hyperparameter, with one axis of scores."""
    from matplotlib.figure import Figure

    from stemcli.plots import styled

    rows = math.ceil(len(space.dimensions) / COLUMNS)
    with styled():
        figure = Figure((WIDTH, HEAD + TALL + rows * LOW), layout="constrained")
        grid = figure.add_gridspec(1 + rows, COLUMNS, height_ratios=[TALL, *[LOW] * rows])
        half = COLUMNS // 2
        plots = [figure.add_subplot(grid[0, :half]), figure.add_subplot(grid[0, half:])]
        plots += [
            figure.add_subplot(grid[1 + divmod(i, COLUMNS)[0], i % COLUMNS])
            for i in range(len(space.dimensions))
        ]
        limits = score_limits(trials)
        for axes in plots:
            axes.set_ylim(limits)
            axes.grid(axis="y")
        _draw_curves(plots[0], trials)
        _draw_progress(plots[1], trials)
        for axes, one in zip(plots[2:], space.dimensions, strict=True):
            _draw_effect(axes, trials, one)
        figure.suptitle(title, x=0.01, horizontalalignment="left", fontsize=15)
        _draw_legend(figure, trials)
    return figure


def score_limits(trials: Trials) -> tuple[float, float]:
    """Limits of the score axis; scores far below the median are drawn at the lower end."""
    scores = [trial.sdr for trial in trials if trial.sdr is not None]
    firsts = [sdr for trial in trials for _, sdr in trial.curve]
    if not scores:
        return 0.0, 1.0
    best = max(scores)
    reach = FURTHEST * (best - statistics.median(firsts))
    low = max(min(firsts), best - max(reach, 1.0))
    margin = 0.08 * max(best - low, 0.5)
    return low - margin, best + margin


def value_ticks(one: Dimension) -> list[tuple[float, str]]:
    """Positions on the axis of a hyperparameter, with the values of the recipe as labels."""
    if isinstance(one, Listed):
        words = ["\n".join(map(short, option.values())) for option in one.options]
        return [(float(place), text) for place, text in enumerate(words)]
    places = [one.at(share) for share in (0.0, 0.5, 1.0)]
    return [(raw, f"{next(iter(one.changes(raw).values())):.2g}") for raw in places]


def _draw_legend(figure: Figure, trials: Trials) -> None:
    """The best trial, and how many there are of each kind."""
    from matplotlib.lines import Line2D

    best = trials.best
    labels = {f"best: {best.sdr:.2f} dB, trial {best.number}": (BEST, "o")} if best else {}
    counts = {kind: sum(_kind(trial) == kind for trial in trials) for kind in KINDS}
    for kind, (words, color, marker) in KINDS.items():
        labels[f"{counts[kind]} {words}"] = color, marker
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="", label=label)
        for label, (color, marker) in labels.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)


def _draw_curves(axes: Axes, trials: Trials) -> None:
    """The score of every trial over its steps."""
    axes.set_title(f"{trials.score} in dB over steps")
    axes.set_xlim(0, max((trial.step for trial in trials), default=0) or 1)
    low, _ = axes.get_ylim()
    for trial in (trial for trial in reversed(trials.ranked) if trial.curve):
        axes.plot(
            [step for step, _ in trial.curve],
            [max(low, score) for _, score in trial.curve],
            color=_color(trial, trials),
            linewidth=3.0 if trial is trials.best else 1.6,
            marker="o",
            markevery=[-1],
            clip_on=False,
        )


def _draw_progress(axes: Axes, trials: Trials) -> None:
    """Every trial, and the best of all until then."""
    axes.set_title(f"best {trials.score} in dB over trials")
    end = max(2, len(trials)) + 0.5
    axes.set_xlim(0.5, end)
    numbers = [*trials.by_number]
    axes.set_xticks(numbers[:: max(1, math.ceil(len(numbers) / MOST_TICKS))])
    scored = [trial for trial in trials if trial.sdr is not None and trial.state != "failed"]
    heights = [*accumulate((trial.sdr for trial in scored if trial.sdr is not None), max)]
    if scored:
        starts = [trial.number for trial in scored]
        axes.step([*starts, end], [*heights, heights[-1]], where="post", color=BEST)
    for trial in reversed(trials.ranked):
        _mark(axes, trial.number, trial, trials)


def _draw_effect(axes: Axes, trials: Trials, one: Dimension) -> None:
    """The score of every trial over one of its values."""
    axes.set_title(one.name)
    ticks = value_ticks(one)
    if isinstance(one, Listed):
        axes.set_xlim(-0.5, len(ticks) - 0.5)
    else:
        axes.set_xscale("log" if one.domain.log else "linear")
        axes.set_xlim(*one.domain.bounds)
    axes.minorticks_off()
    axes.set_xticks(*zip(*ticks, strict=True))
    for trial in reversed(trials.ranked):
        if one.name in trial.params:
            _mark(axes, _beside_others(trial, trials, one), trial, trials)


def _beside_others(trial: Trial, trials: Trials, one: Dimension) -> float:
    """The place of a trial: if values come from a list, next to others with the same value."""
    raw = trial.params[one.name]
    if not isinstance(one, Listed):
        return raw
    same = [other.number for other in trials if other.params.get(one.name) == raw]
    middle = (len(same) - 1) / 2
    return raw + (same.index(trial.number) - middle) * min(0.12, 0.6 / len(same))


def _mark(axes: Axes, x: float, trial: Trial, trials: Trials) -> None:
    low, _ = axes.get_ylim()
    y = low if trial.state == "failed" or trial.sdr is None else max(low, trial.sdr)
    size = 9 if trial is trials.best else 6.5
    axes.plot(
        x,
        y,
        color=_color(trial, trials),
        marker=KINDS[_kind(trial)][2],
        markersize=size,
        clip_on=False,
    )


def _kind(trial: Trial) -> str:
    return trial.state if trial.state in KINDS else "unfinished"


def _color(trial: Trial, trials: Trials) -> str:
    return BEST if trial is trials.best else KINDS[_kind(trial)][1]

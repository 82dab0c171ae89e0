"""Tables, recipe and figure of a search. Reference: its events, and colors of pixels."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from stemcli.plots import to_png
from tests.trainers.search.searches import OUTCOMES, built_in_space, events_of, plan_of, trials_of
from trainers.recipes.loading import load_recipe
from trainers.search.report import (
    BEST,
    HEAD,
    KINDS,
    LOW,
    TALL,
    draw_search,
    score_limits,
    search_figure,
    value_ticks,
    write_best,
    write_tables,
)
from trainers.search.trials import TrialEnded, Trials

SPACE = built_in_space("melroformer")
TRIALS = trials_of(events_of(SPACE, OUTCOMES))
PLAN = plan_of(trials=4)


def test_the_recipe_of_the_best_trial_can_be_trained(tmp_path: Path) -> None:
    path = write_best(TRIALS, PLAN, tmp_path)
    assert path == tmp_path / "best.yaml"
    recipe = load_recipe(str(path))
    assert recipe == SPACE.recipe(TRIALS.by_number[4].values, "tune-melroformer-best")
    first, second = path.read_text().splitlines()[:2]
    assert "best of 4 trials of stem tune melroformer around the recipe tune-melroformer" in first
    assert "trial 4, 5.25 dB SDR after 100 steps, 4,000 parameters" in second


def test_without_a_best_trial_there_is_no_recipe(tmp_path: Path) -> None:
    assert write_best(trials_of(events_of(SPACE, {1: "why"})), PLAN, tmp_path) is None
    assert not [*tmp_path.iterdir()]


def test_tables_list_all_trials(tmp_path: Path) -> None:
    write_tables(TRIALS, PLAN, tmp_path)
    rows = json.loads((tmp_path / "trials.json").read_text())["trials"]
    assert [(row["trial"], row["state"], row["sdr"], row["steps"]) for row in rows] == [
        (4, "done", 5.25, 100),
        (1, "done", 4.5, 100),
        (2, "stopped", 0.7, 40),
        (3, "failed", None, 0),
    ]
    assert rows[0]["values"] == TRIALS.by_number[4].values
    assert (tmp_path / "trials.csv").read_bytes().startswith(b"\xef\xbb\xbfrank,")  # for Excel
    with (tmp_path / "trials.csv").open(newline="", encoding="utf-8-sig") as file:
        table = [*csv.DictReader(file)]
    assert [row["trial"] for row in table] == ["4", "1", "2", "3"]
    lr = TRIALS.by_number[1].values["optimizer.lr"]
    assert float(table[1]["optimizer.lr"]) == lr
    assert table[3]["reason"] == "A gradient is not finite"


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def count_pixels(path: Path, color: str) -> int:
    """Number of pixels of about this color; edges are antialiased."""
    return int((abs(pixels(path) - ImageColor.getrgb(color)) < 16).all(-1).sum())


def color_of(kind: str) -> str:
    return KINDS[kind][1]


def test_the_figure_shows_every_kind_of_trial(tmp_path: Path) -> None:
    """At 100 pixels per inch; every trial has a mark in all plots but the curves."""
    path = tmp_path / "search.png"
    trials = with_unfinished(OUTCOMES)
    draw_search(trials, SPACE, "a title", path)
    assert len(SPACE.dimensions) == 8
    assert pixels(path).shape == (round(100 * (HEAD + TALL + 2 * LOW)), 1280, 3)
    disc = 9 * np.pi * (6.5 / 72 * 100 / 2) ** 2
    for kind in ("done", "stopped", "unfinished"):
        assert count_pixels(path, color_of(kind)) > 0.7 * disc
    assert count_pixels(path, BEST) > count_pixels(path, color_of("done"))
    assert count_pixels(path, color_of("failed")) > 9 * 10


def with_unfinished(outcomes: dict[int, list[float] | str]) -> Trials:
    """The trials, with a fifth that is still running."""
    return trials_of(
        event
        for event in events_of(SPACE, {**outcomes, 5: [2.0, 3.0]})
        if (type(event), getattr(event, "number", 0)) != (TrialEnded, 5)
    )


def marks(trials: Trials, plot: int) -> dict[str, list[tuple[float, float]]]:
    """Positions of the marks of a plot, by color."""
    axes = search_figure(trials, SPACE, "a title").axes[plot]
    found: dict[str, list[tuple[float, float]]] = {}
    for line in axes.lines:
        if line.get_marker() != "None":
            ((x, y),) = line.get_xydata()
            found.setdefault(str(line.get_color()), []).append((x, y))
    return found


def test_every_trial_is_drawn_at_its_score() -> None:
    """In the plot over trials; failed ones are at the lower limit."""
    trials = with_unfinished(OUTCOMES)
    low, _ = score_limits(trials)
    assert marks(trials, 1) == {
        BEST: [(4, 5.25)],
        color_of("done"): [(1, 4.5)],
        color_of("stopped"): [(2, pytest.approx(0.7))],
        color_of("unfinished"): [(5, 3.0)],
        color_of("failed"): [(3, low)],
    }


def test_a_trial_without_a_score_is_not_shown_as_failed() -> None:
    """It has been proposed and has not been validated yet."""
    events = [event for event in events_of(SPACE, {1: [1.0], 2: [2.0]})]
    trials = trials_of(iter(events[:-2]))
    assert [(trial.number, trial.sdr) for trial in trials] == [(1, 1.0), (2, None)]
    assert marks(trials, 1)[color_of("unfinished")] == [(2, score_limits(trials)[0])]


def test_every_hyperparameter_has_a_plot_with_all_trials() -> None:
    figure = search_figure(TRIALS, SPACE, "a title")
    assert [axes.get_title("left") for axes in figure.axes[2:]] == [
        dimension.name for dimension in SPACE.dimensions
    ]
    (index,) = [
        position for position, dimension in enumerate(SPACE.dimensions) if dimension.name == "lr"
    ]
    rates = {raw for raws in marks(TRIALS, 2 + index).values() for raw, _ in raws}
    assert rates == {trial.params["lr"] for trial in TRIALS}


def test_equal_values_are_drawn_side_by_side() -> None:
    """No mark hides another with the same value."""
    trials = trials_of(events_of(SPACE, {number: [1.0] * 5 for number in range(1, 9)}))
    for plot in range(2, 2 + len(SPACE.dimensions)):
        positions = [p for of_color in marks(trials, plot).values() for p in of_color]
        assert len({*positions}) == len(trials)


def test_curves_end_where_trials_end() -> None:
    axes = search_figure(TRIALS, SPACE, "a title").axes[0]
    curves = {tuple(map(tuple, line.get_xydata())) for line in axes.lines}
    assert curves == {tuple(trial.curve) for trial in TRIALS if trial.curve}


def test_the_best_score_so_far_is_a_staircase() -> None:
    """Of 4.5, 0.7, none and 5.25 the line is 4.5 until the fourth trial, then 5.25 to the edge."""
    axes = search_figure(TRIALS, SPACE, "a title").axes[1]
    (line_of_best,) = [line for line in axes.lines if line.get_marker() == "None"]
    assert line_of_best.get_drawstyle() == "steps-post"
    assert line_of_best.get_xydata().tolist() == [[1, 4.5], [2, 4.5], [4, 5.25], [4.5, 5.25]]


def test_the_legend_counts_trials(tmp_path: Path) -> None:
    (legend,) = search_figure(with_unfinished(OUTCOMES), SPACE, "a title").legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "best: 5.25 dB, trial 4",
        "2 all steps",
        "1 stopped early",
        "1 unfinished",
        "1 failed",
    ]


def test_without_failures_there_are_no_crosses(tmp_path: Path) -> None:
    path = tmp_path / "search.png"
    outcomes = {
        number: outcome for number, outcome in OUTCOMES.items() if not isinstance(outcome, str)
    }
    draw_search(trials_of(events_of(SPACE, outcomes)), SPACE, "a title", path)
    assert count_pixels(path, color_of("failed")) < 40  # the mark in the legend


def test_a_search_without_any_score_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "search.png"
    draw_search(trials_of(events_of(SPACE, {1: "why", 2: "why"})), SPACE, "a title", path)
    assert count_pixels(path, BEST) == 0
    draw_search(trials_of(iter(())), SPACE, "no trial at all", path)


def test_an_outlier_does_not_compress_the_scale() -> None:
    outcomes: dict[int, list[float] | str] = {n: [4.0 + n / 10] * 5 for n in range(1, 9)}
    trials = trials_of(events_of(SPACE, {**outcomes, 9: [-60.0] * 5}))
    low, high = score_limits(trials)
    assert low > 2
    assert high > 4.8
    assert marks(trials, 1)[color_of("done")][0] == (9, low)


def test_the_axis_of_a_factor_shows_values() -> None:
    (rate,) = [dimension for dimension in SPACE.dimensions if dimension.name == "lr"]
    assert [words for _, words in value_ticks(rate)] == ["0.0006", "0.003", "0.015"]
    figure = search_figure(TRIALS, SPACE, "a title")
    (axes,) = [axes for axes in figure.axes if axes.get_title("left") == "lr"]
    to_png(figure)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.0006", "0.003", "0.015"]

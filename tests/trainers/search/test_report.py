"""Tables, recipe and picture of a search. Truth: what was told, colours counted."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from tests.trainers.search.searches import FATES, events_of, own_space, plan_of, trials_of
from trainers.plots import to_png
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

SPACE = own_space("melroformer")
TRIALS = trials_of(events_of(SPACE, FATES))
PLAN = plan_of(trials=4)


def test_the_recipe_of_the_best_trial_is_one_for_stem_train(tmp_path: Path) -> None:
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


def test_tables_say_what_was_told(tmp_path: Path) -> None:
    write_tables(TRIALS, PLAN, tmp_path)
    rows = json.loads((tmp_path / "trials.json").read_text())["trials"]
    assert [(row["trial"], row["state"], row["sdr"], row["steps"]) for row in rows] == [
        (4, "done", 5.25, 100),
        (1, "done", 4.5, 100),
        (2, "stopped", 0.7, 40),
        (3, "failed", None, 0),
    ]
    assert rows[0]["values"] == TRIALS.by_number[4].values
    with (tmp_path / "trials.csv").open(newline="") as file:
        table = [*csv.DictReader(file)]
    assert [row["trial"] for row in table] == ["4", "1", "2", "3"]
    lr = TRIALS.by_number[1].values["optimizer.lr"]
    assert float(table[1]["optimizer.lr"]) == lr
    assert table[3]["reason"] == "A gradient is not finite"


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def drawn(path: Path, colour: str) -> int:
    """Pixels of a colour, or nearly so: edges are smooth."""
    return int((abs(pixels(path) - ImageColor.getrgb(colour)) < 16).all(-1).sum())


def color_of(kind: str) -> str:
    return KINDS[kind][1]


def test_the_picture_shows_every_kind_of_trial(tmp_path: Path) -> None:
    """At 100 pixels an inch; a trial has a mark in the large plot and in each of the small ones."""
    path = tmp_path / "search.png"
    trials = unfinished_beside(FATES)
    draw_search(trials, SPACE, "a title", path)
    assert len(SPACE.dimensions) == 8
    assert pixels(path).shape == (round(100 * (HEAD + TALL + 2 * LOW)), 1280, 3)
    disc = 9 * np.pi * (6.5 / 72 * 100 / 2) ** 2
    for kind in ("done", "stopped", "unfinished"):
        assert drawn(path, color_of(kind)) > 0.7 * disc
    assert drawn(path, BEST) > drawn(path, color_of("done"))
    assert drawn(path, color_of("failed")) > 9 * 10


def unfinished_beside(fates: dict[int, list[float] | str]) -> Trials:
    """With a fifth trial, that runs."""
    return trials_of(
        event
        for event in events_of(SPACE, {**fates, 5: [2.0, 3.0]})
        if (type(event), getattr(event, "number", 0)) != (TrialEnded, 5)
    )


def marks(trials: Trials, plot: int) -> dict[str, list[tuple[float, float]]]:
    """Places of the marks of a plot, by color."""
    axes = search_figure(trials, SPACE, "a title").axes[plot]
    found: dict[str, list[tuple[float, float]]] = {}
    for line in axes.lines:
        if line.get_marker() != "None":
            ((x, y),) = line.get_xydata()
            found.setdefault(str(line.get_color()), []).append((x, y))
    return found


def test_every_trial_stands_at_its_score() -> None:
    """In the plot over trials; one that failed is at the lower end."""
    trials = unfinished_beside(FATES)
    low, _ = score_limits(trials)
    assert marks(trials, 1) == {
        BEST: [(4, 5.25)],
        color_of("done"): [(1, 4.5)],
        color_of("stopped"): [(2, pytest.approx(0.7))],
        color_of("unfinished"): [(5, 3.0)],
        color_of("failed"): [(3, low)],
    }


def test_a_trial_without_a_score_is_not_shown_as_failed() -> None:
    """It has been proposed and is at its first steps."""
    events = [event for event in events_of(SPACE, {1: [1.0], 2: [2.0]})]
    trials = trials_of(iter(events[:-2]))
    assert [(trial.number, trial.sdr) for trial in trials] == [(1, 1.0), (2, None)]
    assert marks(trials, 1)[color_of("unfinished")] == [(2, score_limits(trials)[0])]


def test_every_hyperparameter_has_a_plot_with_all_trials() -> None:
    figure = search_figure(TRIALS, SPACE, "a title")
    assert [axes.get_title("left") for axes in figure.axes[2:]] == [
        one.name for one in SPACE.dimensions
    ]
    (at,) = [place for place, one in enumerate(SPACE.dimensions) if one.name == "lr"]
    rates = {raw for raws in marks(TRIALS, 2 + at).values() for raw, _ in raws}
    assert rates == {trial.params["lr"] for trial in TRIALS}


def test_values_of_a_list_stand_beside_each_other() -> None:
    """No mark hides another of the same value."""
    trials = trials_of(events_of(SPACE, {number: [1.0] * 5 for number in range(1, 9)}))
    for plot in range(2, 2 + len(SPACE.dimensions)):
        places = [place for places in marks(trials, plot).values() for place in places]
        assert len({*places}) == len(trials)


def test_curves_end_where_trials_do() -> None:
    axes = search_figure(TRIALS, SPACE, "a title").axes[0]
    curves = {tuple(map(tuple, line.get_xydata())) for line in axes.lines}
    assert curves == {tuple(trial.curve) for trial in TRIALS if trial.curve}


def test_the_best_until_then_rises_in_steps() -> None:
    """Scores 4.5, 0.7, none and 5.25: the line is at 4.5 until the fourth, to the right edge."""
    axes = search_figure(TRIALS, SPACE, "a title").axes[1]
    (stairs,) = [line for line in axes.lines if line.get_marker() == "None"]
    assert stairs.get_drawstyle() == "steps-post"
    assert stairs.get_xydata().tolist() == [[1, 4.5], [2, 4.5], [4, 5.25], [4.5, 5.25]]


def test_the_legend_counts(tmp_path: Path) -> None:
    (legend,) = search_figure(unfinished_beside(FATES), SPACE, "a title").legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "best: 5.25 dB, trial 4",
        "2 all steps",
        "1 stopped early",
        "1 unfinished",
        "1 failed",
    ]


def test_without_failures_nothing_is_crossed(tmp_path: Path) -> None:
    path = tmp_path / "search.png"
    fates = {number: fate for number, fate in FATES.items() if not isinstance(fate, str)}
    draw_search(trials_of(events_of(SPACE, fates)), SPACE, "a title", path)
    assert drawn(path, color_of("failed")) < 40  # the sign in the legend


def test_a_search_without_any_score_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "search.png"
    draw_search(trials_of(events_of(SPACE, {1: "why", 2: "why"})), SPACE, "a title", path)
    assert drawn(path, BEST) == 0
    draw_search(trials_of(iter(())), SPACE, "no trial at all", path)


def test_one_trial_that_is_far_worse_does_not_flatten_the_others() -> None:
    fates: dict[int, list[float] | str] = {n: [4.0 + n / 10] * 5 for n in range(1, 9)}
    trials = trials_of(events_of(SPACE, {**fates, 9: [-60.0] * 5}))
    low, high = score_limits(trials)
    assert low > 2
    assert high > 4.8
    assert marks(trials, 1)[color_of("done")][0] == (9, low)


def test_the_axis_of_a_factor_is_told_in_values() -> None:
    (rate,) = [one for one in SPACE.dimensions if one.name == "lr"]
    assert [words for _, words in value_ticks(rate)] == ["0.0006", "0.003", "0.015"]
    figure = search_figure(TRIALS, SPACE, "a title")
    (axes,) = [axes for axes in figure.axes if axes.get_title("left") == "lr"]
    to_png(figure)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.0006", "0.003", "0.015"]

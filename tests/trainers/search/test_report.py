"""Tables, recipe and picture of a search. Truth: what was told, colours counted."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from tests.trainers.search.searches import FATES, own_space, plan_of, told, trials_of
from trainers.recipes.loading import load_recipe
from trainers.search.canvas import Axis, round_numbers
from trainers.search.picture import BEST, DONE, FAILED, STOPPED, draw_search, sdr_axis, value_axis
from trainers.search.report import write_best, write_tables

SPACE = own_space("melroformer")
TRIALS = trials_of(told(SPACE, FATES))
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
    assert write_best(trials_of(told(SPACE, {1: "why"})), PLAN, tmp_path) is None
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


def test_the_picture_shows_every_kind_of_trial(tmp_path: Path) -> None:
    path = tmp_path / "search.png"
    draw_search(TRIALS, SPACE, "a title", path)
    assert pixels(path).shape == (110 + 260 + 74 + 2 * (150 + 74), 1280, 3)
    disc = 8 * 4.5**2 * np.pi  # one in each of the small plots, at the least
    assert drawn(path, DONE) > 0.7 * disc
    assert drawn(path, STOPPED) > 0.7 * disc
    assert drawn(path, BEST) > drawn(path, DONE)
    assert drawn(path, FAILED) > 8 * 10


def test_without_failures_nothing_is_crossed(tmp_path: Path) -> None:
    path = tmp_path / "search.png"
    fates = {number: fate for number, fate in FATES.items() if not isinstance(fate, str)}
    draw_search(trials_of(told(SPACE, fates)), SPACE, "a title", path)
    assert drawn(path, FAILED) < 40  # the sign in the legend


def test_a_search_without_any_score_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "search.png"
    draw_search(trials_of(told(SPACE, {1: "why", 2: "why"})), SPACE, "a title", path)
    assert drawn(path, BEST) == 0


@pytest.mark.parametrize(
    ("axis", "numbers"),
    [
        (Axis(0, 100), [0, 20, 40, 60, 80, 100]),
        (Axis(-2.7, 3.3), [-2, 0, 2]),
        (Axis(0.1, 10, log=True), [0.1, 0.5, 2.0, 10.0]),
        (Axis(0.5, 2, log=True), [0.5, 1, 2]),
    ],
)
def test_round_numbers_by_hand(axis: Axis, numbers: list[float]) -> None:
    assert round_numbers(axis) == pytest.approx(numbers)


def test_places_on_an_axis_by_hand() -> None:
    assert Axis(2, 4).share(2.5) == 0.25
    assert Axis(1, 100, log=True).share(10) == pytest.approx(0.5)
    assert [Axis(0, 1).share(value) for value in (-3, 7)] == [0, 1]


def test_one_trial_that_is_far_worse_does_not_flatten_the_others() -> None:
    fates: dict[int, list[float] | str] = {n: [4.0 + n / 10] * 5 for n in range(1, 9)}
    axis = sdr_axis(trials_of(told(SPACE, {**fates, 9: [-60.0] * 5})))
    assert axis.low > 2
    assert axis.high > 4.8


def test_the_axis_of_a_factor_is_told_in_values() -> None:
    (rate,) = [one for one in SPACE.dimensions if one.name == "lr"]
    assert [words for _, words in value_axis(rate).marks] == ["0.0006", "0.003", "0.015"]

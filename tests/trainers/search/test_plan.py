"""The plan of a search, and its rungs worked by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.errors import CheckpointError, StemError, UsageError
from tests.trainers.search.searches import plan_of
from trainers.recipes.loading import load_recipe
from trainers.search.plan import (
    EARLIER_LOG,
    PLAN,
    STUDY_LOG,
    read_plan,
    refuse_earlier_version,
    rungs_of,
    startup,
)


@pytest.mark.parametrize(
    ("steps", "warmup", "every", "grace", "factor", "rungs"),
    [
        (100, 10, 20, 20, 2, (20, 40, 80)),
        (300, 20, 50, 50, 2, (50, 100, 200)),
        (200_000, 1000, 2000, 24_000, 3, (24_000, 72_000)),  # a ninth is 22,222
        (8, 4, 2, 8, 2, ()),  # the warm-up is half of the run: no trial is stopped
        (10, 0, 100, 10, 2, ()),  # one validation, at the end
        (1, 0, 1, 1, 2, ()),
    ],
)
def test_rungs_by_hand(
    steps: int, warmup: int, every: int, grace: int, factor: int, rungs: tuple[int, ...]
) -> None:
    recipe = load_recipe("quick")
    recipe = replace(
        recipe,
        schedule=replace(recipe.schedule, steps=steps, warmup=warmup),
        validation=replace(recipe.validation, every=every),
    )
    found = rungs_of(recipe)
    assert (found.grace, found.factor, found.all) == (grace, factor, rungs)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = plan_of()
    plan.write(tmp_path)
    again = read_plan(tmp_path)
    assert again.base == plan.base
    assert replace(again, recipe={}) == replace(plan, recipe={})


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (None, UsageError, "there is no tune.json"),
        ("{", CheckpointError, "is damaged"),
        ('{"trials": 0}', CheckpointError, "is damaged"),
    ],
)
def test_a_folder_without_a_plan(
    tmp_path: Path, content: str | None, kind: type[StemError], message: str
) -> None:
    if content is not None:
        (tmp_path / PLAN).write_text(content)
    with pytest.raises(kind, match=message):
        read_plan(tmp_path)


def test_number_of_random_startup_trials() -> None:
    assert [startup(trials) for trials in (1, 16, 24, 100)] == [4, 4, 6, 10]


def test_searches_with_a_study_are_not_of_an_earlier_version(tmp_path: Path) -> None:
    refuse_earlier_version(tmp_path)
    (tmp_path / EARLIER_LOG).touch()
    with pytest.raises(
        CheckpointError, match=r"cannot be resumed: use .* --model .*/trials/NUMBER"
    ):
        refuse_earlier_version(tmp_path)
    (tmp_path / STUDY_LOG).touch()
    refuse_earlier_version(tmp_path)

"""The memory of a search and what follows from it. Truth: what was written, and rungs by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from model_zoo.errors import CheckpointError, StemError, UsageError
from tests.trainers.search.searches import FATES, own_space, plan_of, told, trials_of
from trainers.recipes.loading import load_recipe
from trainers.search.journal import JOURNAL, Journal, remembered
from trainers.search.plan import PLAN, read_plan, rungs_of, startup

EVENTS = [*told(own_space("melrnn"), FATES)]


def write(folder: Path) -> Path:
    with Journal(folder) as journal:
        for event in EVENTS:
            journal.note(event)
    return folder / JOURNAL


def test_a_search_remembers_what_it_told(tmp_path: Path) -> None:
    assert remembered(tmp_path) == []
    write(tmp_path)
    assert remembered(tmp_path) == EVENTS


def test_a_line_that_was_cut_off_never_happened(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    for length in range(len(whole.rstrip().rpartition(b"\n")[0]) + 1, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        assert remembered(tmp_path) == EVENTS[:-1]
    with Journal(tmp_path) as journal:
        journal.note(EVENTS[-1])
    assert path.read_bytes() == whole


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], b'{"event": "else"}', *lines[2:]]) + b"\n")
    with pytest.raises(CheckpointError, match=r"search.jsonl is damaged in line 2"):
        remembered(tmp_path)


def test_the_best_comes_first_and_what_failed_last() -> None:
    trials = trials_of(iter(EVENTS))
    assert [trial.number for trial in trials.ranked] == [4, 1, 2, 3]
    assert trials.best is trials.by_number[4]
    assert [trials.count(state) for state in ("done", "stopped", "failed")] == [2, 1, 1]
    assert trials.by_number[2].curve == [(20, 0.5), (40, 0.7)]


def test_where_all_failed_nothing_is_best() -> None:
    assert trials_of(told(own_space("melrnn"), {1: "a", 2: "b"})).best is None


@pytest.mark.parametrize(
    ("steps", "warmup", "every", "grace", "factor", "rungs"),
    [
        (100, 10, 20, 20, 2, (20, 40, 80)),
        (300, 20, 50, 50, 2, (50, 100, 200)),
        (200_000, 1000, 2000, 24_000, 3, (24_000, 72_000)),  # a ninth is 22,222
        (8, 4, 2, 8, 2, ()),  # the warm-up is half of it: nobody is stopped
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
    ("content", "kind", "sentence"),
    [
        (None, UsageError, "there is no tune.json"),
        ("{", CheckpointError, "is damaged"),
        ('{"trials": 0}', CheckpointError, "is damaged"),
    ],
)
def test_a_folder_without_a_plan(
    tmp_path: Path, content: str | None, kind: type[StemError], sentence: str
) -> None:
    if content is not None:
        (tmp_path / PLAN).write_text(content)
    with pytest.raises(kind, match=sentence):
        read_plan(tmp_path)


def test_few_trials_begin_to_learn_early() -> None:
    assert [startup(trials) for trials in (1, 16, 24, 100)] == [4, 4, 6, 10]

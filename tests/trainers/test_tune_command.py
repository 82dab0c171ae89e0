"""Errors of ``stem tune`` before Ray is started: one message that says what to type."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stemcli.cli.app import stem
from tests.trainers.cluster.small import changes, plan
from tests.trainers.commands import assert_error
from tests.trainers.search.searches import OUTCOMES, events_of, trials_of, write_study
from trainers.loop.checks import lock_folder
from trainers.search.plan import PLAN


def tune(*options: str, architecture: str = "melroformer") -> Result:
    start = ["tune", architecture, "--output", "search", "--device", "cpu"]
    return CliRunner().invoke(stem, [*start, *options])


def set_options(*more: str) -> list[str]:
    return [word for change in changes("melroformer", *more) for word in ("--set", change)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "tune-melrnn"], "it trains melrnn, not melroformer. Try: stem tune melrnn"),
        (["--recipe", "non"], "Unknown recipe 'non'"),
        (["--space", "none.yaml"], "--space none.yaml: it cannot be read"),
        (["--space", "bad.yaml"], "unknown key 'lrr', did you mean 'lr'?"),
        (["--set", "schedule.stepps=5"], "did you mean 'steps'?"),
        (["--device", "cuda:1"], "put CUDA_VISIBLE_DEVICES=1 before the command"),
        (["--cluster", "--device", "mps"], "With --cluster use --device auto"),
        (["--validation", "songs"], "--validation needs --data"),
        (["--trials", "0"], "--trials"),
        (["--data", "nowhere"], "'nowhere' does not exist"),
    ],
)
def test_wrong_options_are_refused(workdir: Path, options: list[str], message: str) -> None:
    (workdir / "bad.yaml").write_text("a: {optimizer.lrr: {choice: [1, 2]}}")
    assert_error(tune(*options), 2, message)
    assert not (workdir / "search").exists()


def test_an_unknown_architecture(workdir: Path) -> None:
    assert_error(tune(architecture="melroforme"), 2, "did you mean 'melroformer'?")


def test_a_recipe_instead_of_an_architecture(workdir: Path) -> None:
    """The message suggests the network that the recipe trains; recipes may share its name."""
    advice = "quick is a recipe, not an architecture. Try: stem tune melroformer --recipe quick"
    assert_error(tune(architecture="quick"), 2, advice)
    assert_error(tune(architecture="voxaug"), 2, "voxaug is a recipe, not an architecture.")


def test_songs_without_validation_songs(workdir: Path) -> None:
    result = tune("--data", "songs", *set_options("data.validation_fraction=0"))
    assert_error(
        result, 1, "there are none. Use --validation DIR, or --set data.validation_fraction=0.1"
    )
    assert not (workdir / "search").exists()


def test_a_folder_with_a_search_is_refused(workdir: Path) -> None:
    plan(workdir / "songs").write(workdir / "search")
    assert_error(tune("--data", "songs", *set_options()), 1, "already holds a search. Add --resume")


def test_resume_needs_a_search(workdir: Path) -> None:
    assert_error(tune("--resume"), 2, "search holds no search to resume: there is no tune.json")


def test_resume_refuses_other_values(workdir: Path) -> None:
    plan(workdir / "songs").write(workdir / "search")
    assert_error(tune("--resume", "--seed", "9"), 2, "leave out --seed")
    assert_error(tune("--resume", architecture="melrnn"), 2, "search is a search for melroformer")


def test_resume_accepts_the_same_values(workdir: Path) -> None:
    """The damaged journal is refused only after these options were accepted."""
    plan(workdir / "songs", seed=1).write(workdir / "search")
    (workdir / "search/study.log").write_text("nonsense\n" * 2)
    assert_error(tune("--resume", *set_options()), 1, "study.log is damaged. Use --output")


@pytest.mark.parametrize("options", [["--resume"], ["--data", "songs"]])
def test_searches_of_an_earlier_version_are_refused(workdir: Path, options: list[str]) -> None:
    plan(workdir / "songs").write(workdir / "search")
    (workdir / "search/search.jsonl").write_text('{"event":"trial_proposed"}\n')
    message = "search of an earlier version, which cannot be resumed: use the weights of its trials"
    result = tune(*options, *(set_options() if "--data" in options else []))
    assert_error(result, 1, message)
    assert "Starting Ray" not in result.output
    assert {path.name for path in (workdir / "search").iterdir()} == {PLAN, "search.jsonl"}


def test_a_journal_without_a_plan_is_not_overwritten(workdir: Path) -> None:
    plan(workdir / "songs").write(workdir / "search")
    (workdir / f"search/{PLAN}").rename(workdir / "search/study.log")
    assert_error(tune("--data", "songs", *set_options()), 1, "already holds a search")


def test_two_searches_cannot_share_a_folder(workdir: Path) -> None:
    plan(workdir / "songs", seed=1).write(workdir / "search")
    with lock_folder(workdir / "search"):
        assert_error(tune("--resume", *set_options()), 1, "Another run is writing into search")
    assert not (workdir / "search/study.log").exists()


def test_a_finished_search_is_shown_again_without_ray(workdir: Path) -> None:
    search = plan(workdir / "songs", trials=4)
    search.write(workdir / "search")
    space = search.bound_space()
    write_study(workdir / "search", space, trials_of(events_of(space, OUTCOMES)))
    result = tune("--resume")
    assert result.exit_code == 0, result.output
    assert "4 trials, 4 of them over" in result.output
    assert f"Try: stem train --recipe search/best.yaml --data {workdir / 'songs'}" in result.output
    assert (workdir / f"search/{PLAN}").exists()

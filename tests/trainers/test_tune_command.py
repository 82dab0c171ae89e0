"""What ``stem tune`` refuses, before Ray is started. Truth: one sentence that says what to type."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stemcli.cli.app import stem
from tests.trainers.cluster.small import changes, plan
from tests.trainers.commands import assert_error
from tests.trainers.search.searches import FATES, told, trials_of, write_study
from trainers.loop.checks import lock_folder
from trainers.search.plan import PLAN


def tune(*words: str, architecture: str = "melroformer") -> Result:
    start = ["tune", architecture, "--output", "search", "--device", "cpu"]
    return CliRunner().invoke(stem, [*start, *words])


def sets(*more: str) -> list[str]:
    return [word for change in changes("melroformer", *more) for word in ("--set", change)]


@pytest.mark.parametrize(
    ("words", "sentence"),
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
def test_what_was_typed_wrongly(workdir: Path, words: list[str], sentence: str) -> None:
    (workdir / "bad.yaml").write_text("a: {optimizer.lrr: {choice: [1, 2]}}")
    assert_error(tune(*words), 2, sentence)
    assert not (workdir / "search").exists()


def test_an_architecture_that_is_none(workdir: Path) -> None:
    assert_error(tune(architecture="melroforme"), 2, "did you mean 'melroformer'?")


def test_songs_without_any_to_validate_with(workdir: Path) -> None:
    done = tune("--data", "songs", *sets("data.validation_fraction=0"))
    assert_error(
        done, 1, "there are none. Use --validation DIR, or --set data.validation_fraction=0.1"
    )
    assert not (workdir / "search").exists()


def test_a_folder_that_holds_a_search(workdir: Path) -> None:
    plan(workdir / "songs").write(workdir / "search")
    assert_error(tune("--data", "songs", *sets()), 1, "already holds a search. Add --resume")


def test_nothing_to_go_on_with(workdir: Path) -> None:
    assert_error(tune("--resume"), 2, "search holds no search to resume: there is no tune.json")


def test_a_search_goes_on_with_its_own_values(workdir: Path) -> None:
    plan(workdir / "songs").write(workdir / "search")
    assert_error(tune("--resume", "--seed", "9"), 2, "leave out --seed")
    assert_error(tune("--resume", architecture="melrnn"), 2, "search is a search for melroformer")


def test_the_same_may_be_typed_again(workdir: Path) -> None:
    """What is refused after that is the journal."""
    plan(workdir / "songs", seed=1).write(workdir / "search")
    (workdir / "search/study.log").write_text("nonsense\n" * 2)
    assert_error(tune("--resume", *sets()), 1, "study.log is damaged. Use --output")


@pytest.mark.parametrize("words", [["--resume"], ["--data", "songs"]])
def test_a_search_of_an_earlier_version_is_refused(workdir: Path, words: list[str]) -> None:
    plan(workdir / "songs").write(workdir / "search")
    (workdir / "search/search.jsonl").write_text('{"event":"trial_proposed"}\n')
    sentence = (
        "search of an earlier version, which cannot be resumed: use the weights of its trials"
    )
    done = tune(*words, *(sets() if "--data" in words else []))
    assert_error(done, 1, sentence)
    assert "Starting Ray" not in done.output
    assert {path.name for path in (workdir / "search").iterdir()} == {PLAN, "search.jsonl"}


def test_a_journal_without_its_plan_is_not_taken_over(workdir: Path) -> None:
    plan(workdir / "songs").write(workdir / "search")
    (workdir / f"search/{PLAN}").rename(workdir / "search/study.log")
    assert_error(tune("--data", "songs", *sets()), 1, "already holds a search")


def test_two_searches_do_not_write_one_folder(workdir: Path) -> None:
    plan(workdir / "songs", seed=1).write(workdir / "search")
    with lock_folder(workdir / "search"):
        assert_error(tune("--resume", *sets()), 1, "Another run is writing into search")
    assert not (workdir / "search/study.log").exists()


def test_a_search_that_is_over_is_told_again_without_ray(workdir: Path) -> None:
    made = plan(workdir / "songs", trials=4)
    made.write(workdir / "search")
    space = made.bound_space()
    write_study(workdir / "search", space, trials_of(told(space, FATES)))
    done = tune("--resume")
    assert done.exit_code == 0, done.output
    assert "4 trials, 4 of them over" in done.output
    assert f"Try: stem train --recipe search/best.yaml --data {workdir / 'songs'}" in done.output
    assert (workdir / f"search/{PLAN}").exists()

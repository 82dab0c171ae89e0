"""``stem train --cluster``: errors before a cluster is joined, and lines of its events."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from model_zoo.catalogue.install import Summary
from model_zoo.catalogue.resolve import LAST, SUMMARY
from stemcli.cli.app import stem
from stemcli.remote_path import as_path
from tests.stemcli.cli.results import errors
from tests.trainers.commands import assert_error, train
from trainers.cli.display import worker_group_line
from trainers.cli.train_run import advice, nearby
from trainers.cluster.job import (
    WorkerGroupAwaited,
    WorkerGroupEvent,
    WorkerGroupFinished,
    WorkerGroupLost,
    WorkerGroupPaused,
    WorkerGroupStarted,
    WorkerGroupStarting,
)
from trainers.loop.checkpoint import write_json
from trainers.search.plan import PLAN


def run_train(*arguments: str) -> Result:
    return CliRunner().invoke(stem, ["train", *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "There are no songs to train on. Add --data DIR"),
        (("--workers", "2"), "--workers needs a cluster. Add --cluster"),
        (("--wait", "9", "--fsdp"), "--wait and --fsdp need a cluster. Add --cluster"),
        (("-o", "memory://runs/x"), "--output memory://runs/x is not a local folder"),
        (("--cluster", "--dry-run"), "--dry-run runs on this machine"),
        (("--cluster", "--resume"), "runs/latest does not exist, so there is no run to resume"),
        (
            ("--cluster", "-o", "memory://no/run", "--resume"),
            "memory://no/run does not exist, so there is no run to resume",
        ),
        (("--cluster", "--data", "nowhere"), "'nowhere' does not exist"),
        (("--cluster", "-o", ""), "The argument after -o is empty"),
        (("--cluster", "--workers", "0"), "--workers 0 asks for no worker"),
    ],
)
def test_contradictory_options_are_refused(
    arguments: tuple[str, ...], message: str, workdir: Path
) -> None:
    result = run_train(*arguments)
    assert message in result.stderr
    assert result.exit_code in (1, 2)
    assert len(errors(result.stderr)) == 1
    assert not (workdir / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--workers", "many"), "--workers many is not a number of workers"),
        (("--workers", "8:2"), "Try: --workers 2:8"),
        (("--device", "cuda:1"), "With --cluster use --device auto"),
    ],
)
def test_invalid_cluster_options_are_refused(
    arguments: tuple[str, ...], message: str, tiny: Path
) -> None:
    result = run_train(
        "--cluster", "--recipe", "tiny.yaml", "--data", "songs", "-o", "run", *arguments
    )
    assert_error(result, 2, message)
    assert not Path("run").exists()


def test_a_run_is_not_overwritten(tiny: Path) -> None:
    folder = as_path(f"memory://runs/{uuid4().hex}")
    (folder / LAST).store(tiny)
    result = run_train("--cluster", "--recipe", "tiny.yaml", "--data", "songs", "-o", str(folder))
    assert_error(result, 1, "already holds a run. Add --resume")


def test_a_search_and_a_run_cannot_share_a_folder(tiny: Path) -> None:
    Path("search").mkdir()
    write_json(Path("search") / PLAN, {})
    assert_error(run_train("--cluster", "-o", "search"), 1, "search holds a search of stem tune")
    assert train().exit_code == 0
    for more in ((), ("--resume",)):
        result = CliRunner().invoke(stem, ["tune", "melroformer", "-o", "run", *more])
        assert result.exit_code != 0
    assert_error(
        CliRunner().invoke(stem, ["tune", "melroformer", "-o", "run"]), 1, "run of stem train"
    )


def test_a_run_on_real_songs_cannot_resume_on_synthetic_ones(tiny: Path) -> None:
    assert train().exit_code == 0
    write_json(Path("run") / SUMMARY, Summary(data="my songs").to_dict())
    assert_error(
        run_train("--cluster", "-o", "run", "--resume"),
        2,
        "run was trained on my songs. Add --data",
    )


def test_files_behind_a_url_are_copied(tmp_path: Path) -> None:
    folder = as_path(f"memory://runs/{uuid4().hex}")
    (tmp_path / "a").write_text("text")
    (folder / "a").store(tmp_path / "a")
    with nearby(folder, "a", "b") as near:
        assert {path.name: path.read_text() for path in near.iterdir()} == {"a": "text"}
    with nearby(tmp_path, "a") as near:
        assert near == tmp_path


def test_advice_after_pretraining() -> None:
    assert advice(Path("pre"), "denoising") == "Try: stem train --data DIR --from pre"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("mine", "stem separate SONG --model mine"),
        (Path("my runs/first"), "stem separate SONG --model 'my runs/first'"),
        (Path("melroformer"), "stem separate SONG --model ./melroformer"),
        (as_path("s3://b/run"), "with a copy of s3://b/run/best.safetensors"),
    ],
)
def test_advice_after_training(result: Path | str, text: str) -> None:
    assert text in advice(result, "separation")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (WorkerGroupStarted(1, ("a",)), "Training with 1 worker on a"),
        (WorkerGroupStarted(2, ("a", "b", "a")), "Resuming with 3 workers on a (2), b"),
        (WorkerGroupStarted(1, tuple("abcdefghi")), "Training with 9 workers on 9 machines"),
        (
            WorkerGroupLost((1,), "it died"),
            "Lost worker 2 (it died); resuming from the last checkpoint",
        ),
        (WorkerGroupLost((0, 2), "x"), "Lost workers 1, 3 (x); resuming from the last checkpoint"),
        (WorkerGroupAwaited(1, 2), "Waiting: there is room for 1 of 2 workers"),
        (
            WorkerGroupStarting(65),
            "The workers have been starting for 65 s. If they do not connect",
        ),
        (WorkerGroupPaused(7), "Saved after step 7; resuming with another number of workers"),
        (WorkerGroupFinished(True, 7), ""),
        (WorkerGroupFinished(False, 7), "Saved after step 7"),
    ],
)
def test_every_event_has_a_line(event: WorkerGroupEvent, line: str) -> None:
    assert worker_group_line(event).startswith(line)
    assert bool(worker_group_line(event)) == bool(line)

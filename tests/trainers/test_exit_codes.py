"""The same error has the same exit code in every command.

Expected: by the README, 2 for wrong arguments and 1 for failures.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from stemcli.cli.app import stem
from tests.stemcli.cli.results import errors

MODELS = (
    "separate song.wav --model {}",
    "separate song.wav --phase-model {}",
    "batch songs --model {} -o out",
    "train --data songs --device cpu --from {}",
    "models info {}",
    "models add {} --name mine",
)
NOT_MODELS = ("gone.safetensors", "runs/gone", "empty", "net.pth")
WRONG_ARGUMENTS = [
    *(command.format(model) for command in MODELS for model in NOT_MODELS),
    *(command.format("no-such-model") for command in MODELS[:-1]),
    "models verify no-such-model",
    "models remove no-such-model",
    "models convert gone.pth --name mine",
    "models convert empty --name mine",
    "train --data songs --recipe gone.yaml",
    "train --data songs --recipe no-such-recipe",
    "train --data songs --set schedule.stepz=1",
    "train --data songs --set schedule.steps=many",
    "train --data songs --set model.architecture=melunett",
    "train --data songs --set losses.loud=1",
    "train --data songs --resume -o empty",
    "train --data gone",
    "train --data net.pth",
    "tune melunett --data songs",
    "tune melroformer --data gone",
    "tune melroformer --data songs --set schedule.stepz=1",
    "tune melroformer --data songs --resume -o empty",
    "data check gone",
    "data check net.pth",
    "models info melunet --set num_layerz=1",
]
FAILURES = [
    *(command.format("bad.safetensors") for command in MODELS),
    "models convert net.pth --name mine",
    "train --data empty",
    "data check empty",
]


@pytest.fixture(autouse=True)
def files(workdir: Path) -> None:
    """Songs, an empty folder, and files that are not models; one has the suffix of a model."""
    (workdir / "empty").mkdir()
    for name in ("net.pth", "bad.safetensors"):
        (workdir / name).write_text("la la la")
    (workdir / "song.wav").write_bytes(next(workdir.glob("songs/*/mixture.wav")).read_bytes())


@pytest.mark.parametrize(
    ("command", "code"),
    [*((command, 2) for command in WRONG_ARGUMENTS), *((command, 1) for command in FAILURES)],
)
def test_exit_code_is_2_for_wrong_arguments_and_1_for_failures(
    command: str, code: int, workdir: Path
) -> None:
    before = sorted(workdir.rglob("*"))
    result = CliRunner().invoke(stem, command.split())
    assert (result.exit_code, len(errors(result.stderr))) == (code, 1), result.output
    assert sorted(workdir.rglob("*")) == before

"""The same mistake ends every command alike.

Truth: the README, by which 2 is for what was typed and 1 for what failed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from stemcli.cli.app import stem
from tests.stemcli.cli.watching import errors

MODELS = (
    "separate song.wav --model {}",
    "separate song.wav --phase-model {}",
    "batch songs --model {} -o out",
    "train --data songs --device cpu --from {}",
    "models info {}",
    "models add {} --name mine",
)
NO_MODELS = ("gone.safetensors", "runs/gone", "empty", "net.pth")
TYPED = [
    *(command.format(model) for command in MODELS for model in NO_MODELS),
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
FAILED = [
    *(command.format("bad.safetensors") for command in MODELS),
    "models convert net.pth --name mine",
    "train --data empty",
    "data check empty",
]


@pytest.fixture(autouse=True)
def here(place: Path) -> None:
    """Songs, an empty folder, and files that are no models; one only says that it is."""
    (place / "empty").mkdir()
    for name in ("net.pth", "bad.safetensors"):
        (place / name).write_text("la la la")
    (place / "song.wav").write_bytes(next(place.glob("songs/*/mixture.wav")).read_bytes())


@pytest.mark.parametrize(
    ("words", "code"), [*((words, 2) for words in TYPED), *((words, 1) for words in FAILED)]
)
def test_what_was_typed_is_2_and_what_failed_is_1(words: str, code: int, place: Path) -> None:
    before = sorted(place.rglob("*"))
    done = CliRunner().invoke(stem, words.split())
    assert (done.exit_code, len(errors(done.stderr))) == (code, 1), done.output
    assert sorted(place.rglob("*")) == before

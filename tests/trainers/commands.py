"""``stem train`` as it is typed, for the tests of what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import yaml
from click.testing import CliRunner, Result

from stemcli.cli.app import stem
from tests.stemcli.cli.watching import errors
from trainers.config import Recipe

RATE = 8000
Spoil = Callable[[Path], object]


def write_recipe(path: Path, recipe: Recipe) -> Path:
    values = json.loads(json.dumps(recipe.to_dict()))
    values["data"] = {"clip_seconds": 0.5}
    path.write_text(yaml.safe_dump(values))
    return path


def train(*words: str, recipe: str = "tiny.yaml", data: str = "songs") -> Result:
    start = ["train", "--recipe", recipe] if recipe else ["train"]
    return CliRunner().invoke(
        stem, [*start, "--data", data, "--output", "run", "--device", "cpu", *words]
    )


def changed(*changes: str) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def refused(done: Result, exit_code: int, *sentences: str) -> None:
    """One sentence, without a traceback, and none that blames the program."""
    assert (done.exit_code, len(errors(done.stderr))) == (exit_code, 1), done.stderr
    assert all(sentence in done.stderr for sentence in sentences), done.stderr
    assert "defect" not in done.stderr


def sound(path: Path, wave: np.ndarray) -> None:
    soundfile.write(path, wave, RATE, "FLOAT")


def silence(folder: Path, name: str) -> None:
    for path in (folder / "songs").rglob(name):
        sound(path, np.zeros((RATE, 2)))

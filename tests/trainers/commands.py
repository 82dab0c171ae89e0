"""Runs ``stem train`` in this process, and checks its errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import yaml
from click.testing import CliRunner, Result

from stemcli.cli.app import stem
from tests.stemcli.cli.results import errors
from trainers.config import Recipe

RATE = 8000
Damage = Callable[[Path], object]


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


def set_options(*changes: str) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def assert_error(result: Result, exit_code: int, *messages: str) -> None:
    """One error message, without a traceback, that does not report a bug in Stem."""
    assert (result.exit_code, len(errors(result.stderr))) == (exit_code, 1), result.stderr
    assert all(message in result.stderr for message in messages), result.stderr
    assert "bug in stem" not in result.stderr


def write_wave(path: Path, wave: np.ndarray) -> None:
    soundfile.write(path, wave, RATE, "FLOAT")


def write_silence(folder: Path, name: str) -> None:
    for path in (folder / "songs").rglob(name):
        write_wave(path, np.zeros((RATE, 2)))

"""All commands, and folders of runs, on an imitated Windows: see :mod:`tests.windows`.

Reference: "Availability" in the documentation of Python's library.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from model_zoo.errors import OutputError
from model_zoo.weights import save
from tests import windows
from tests.model_zoo.small import small_network
from tests.trainers.commands import set_options
from trainers.loop import checks

ROOT = Path(__file__).parents[2]
TINY = ("-m", "tiny.safetensors", "--segment", "0.5")

needs_unix = pytest.mark.skipif(os.name == "nt", reason="Windows is there, so nothing is imitated")


@pytest.fixture
def folder(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Songs, weights, a recipe and multitracks in the current folder."""
    here = tiny.parent
    for name in ("song.wav", "in/a.wav", "in/b.wav"):
        (here / name).parent.mkdir(exist_ok=True)
        wave = np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 2))
        soundfile.write(here / name, wave, 16_000)
    save(here / "tiny.safetensors", small_network(), {"residual": "band"})
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return here


def run_as_on_windows(*commands: list[str]) -> tuple[list[int], str]:
    """The exit codes of commands, and everything that they print."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.windows", json.dumps(commands)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


@needs_unix
def test_commands_need_nothing_that_only_unix_has(folder: Path) -> None:
    """The bar for a dry run is the memory that the imitated Windows reports."""
    train = ["train", "--recipe", "tiny.yaml", "--data", "songs", "-o", "run", "--device", "cpu"]
    batch = ["batch", "in", *TINY, "-o", "stems"]
    codes, text = run_as_on_windows(
        ["separate", "song.wav", *TINY, "-o", "out", "--format", "m4a"],
        ["separate", "song.wav", *TINY, "-o", "out"],
        ["separate", "song.wav", *TINY, "-o", "out", "--overwrite"],
        batch,
        batch,
        [*batch, "--overwrite"],
        [*train, "--dry-run"],
        [*train, *set_options("loop.num_workers=1")],
        [*train, *set_options("schedule.steps=6"), "--resume"],
        ["separate", "song.wav", "-m", "run", "-o", "of_run"],
    )
    assert codes == [0] * 10, text
    assert f"Memory: {windows.PEAK / 1e6:.1f} MB" in text
    assert "2 songs skipped: done in an earlier run" in text
    assert "Resuming after step 4 of 6" in text
    made = (
        "out/song/vocals.m4a",
        "out/song/vocals.wav",
        "stems/b/band.wav",
        "run/best.safetensors",
    )
    assert [path for path in made if not (folder / path).is_file()] == []
    assert [*folder.glob("**/*.lock")] == []


@pytest.mark.slow
@needs_unix
def test_other_commands_need_nothing_that_only_unix_has(folder: Path) -> None:
    codes, text = run_as_on_windows(
        ["models", "add", "tiny.safetensors", "--name", "mine"],
        ["models", "list"],
        ["models", "verify"],
        ["models", "remove", "mine"],
        ["data", "render", "toy", "--songs", "1", "--seconds", "1"],
        ["data", "check", "songs"],
        ["eval", "folder", "songs", "songs", "-o", "scores"],
        ["eval", "folder", "songs", "songs", "-o", "scores"],
        ["eval", "speed", *TINY[:2], "--seconds", "10", "--rounds", "1"],
        ["doctor"],
    )
    assert codes == [0] * 10, text


@needs_unix
def test_two_runs_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is a file beside the folder, which is gone afterwards."""
    monkeypatch.setattr(checks, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setitem(sys.modules, "msvcrt", windows.MSVCRT)
    folder = tmp_path / "runs" / "mine"
    with checks.lock_folder(folder) as is_held:
        assert is_held
        assert [path.name for path in folder.parent.iterdir()] in (
            ["mine", ".mine.lock"],
            [".mine.lock", "mine"],
        )
        with (
            pytest.raises(OutputError, match="Another run is writing"),
            checks.lock_folder(folder),
        ):
            pytest.fail("the folder is locked")
    assert [*folder.parent.iterdir()] == []

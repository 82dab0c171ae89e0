"""The files of a checkout, and programs of the environment that runs the tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SOURCES = (
    "stemcli",
    "trainers",
    "model_zoo",
    "tests",
    "docs",
    ".ci",
    ".github",
    ".dockerignore",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "pyproject.toml",
)

JUNK = shutil.ignore_patterns("__pycache__", ".*_cache", ".hypothesis")


def copy_checkout(target: Path) -> Path:
    """A copy of this checkout without what tools leave in it."""
    target.mkdir(parents=True)
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=JUNK)
        else:
            shutil.copy2(source, target / name)
    return target


def program(name: str) -> str:
    """A program beside the interpreter, or on PATH."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"{name} is missing; install the extra: pip install -e '.[release]'"
    return found


def call(*words: str | Path, **named: object) -> str:
    """Run a program; return what it prints, which a failure shows."""
    done = subprocess.run(
        [*map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **named,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stdout
    return str(done.stdout)

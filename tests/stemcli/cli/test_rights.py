"""Files and folders without permissions, in real processes without root's capabilities."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stemcli.cli.bad_songs import write_song
from tests.stemcli.cli.conftest import QUICK
from tests.stemcli.cli.results import errors, tree

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")

WITHOUT_ROOT = """
import ctypes, os, sys
if os.geteuid() == 0 and sys.platform == "linux":
    for power in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH in linux/capability.h
        ctypes.CDLL(None).prctl(24, power, 0, 0, 0)  # PR_CAPBSET_DROP in linux/prctl.h
os.execv(sys.executable, [sys.executable, "-m", "stemcli", *sys.argv[1:]])
"""
"""Program that drops root's file permissions and runs ``stem``."""


@pytest.fixture
def library(processes: None, tmp_path: Path) -> Path:
    """A readable and an unreadable song, and folders without some permissions."""
    for name in ("in", "closed", "read only"):
        (tmp_path / name).mkdir()
    for name in ("in/a.wav", "in/shut.wav"):
        write_song(tmp_path / name)
    (tmp_path / "in/shut.wav").chmod(0)
    (tmp_path / "closed").chmod(0)
    (tmp_path / "read only").chmod(0o555)
    return tmp_path


def only_error(code: int, *args: str) -> str:
    """The only error of a command."""
    command = [sys.executable, "-c", WITHOUT_ROOT, *args, "-m", "tiny", *QUICK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done
    (line,) = errors(done.stderr)
    return line


def test_an_unreadable_song_among_good_ones(library: Path) -> None:
    before = tree(library)
    line = only_error(1, "batch", "in")
    assert line.endswith(
        "in/shut.wav cannot be opened (Permission denied). Check its name and permissions"
    )
    added = {"separated/.stem-journal.sqlite", "separated/a/vocals.wav", "separated/a/band.wav"}
    assert tree(library) - before == added


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (
            ("separate", "in/shut.wav"),
            r"cannot be opened (Permission denied). Check its name and p",
        ),
        (("separate", "closed/a.wav"), r"cannot be opened (Permission denied). Check its name and"),
        (("batch", "closed"), "closed may not be read, so its songs are left out"),
        (
            ("separate", "in/a.wav", "-o", "closed"),
            "closed is not writable. Choose another folder with --output",
        ),
        (
            ("separate", "in/a.wav", "-o", "closed/x"),
            "closed/x (Permission denied). Choose another",
        ),
        (
            ("batch", "in", "-o", "closed"),
            "closed is not writable. Choose another folder with --output",
        ),
        (
            ("batch", "in", "-o", "read only"),
            "read only is not writable. Choose another folder with --output",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_missing_permissions_are_reported_before_work(
    args: tuple[str, ...], expected: str, library: Path
) -> None:
    before = tree(library)
    assert expected in only_error(1, *args)
    assert tree(library) == before


def test_unreadable_weights_are_reported(library: Path) -> None:
    (library / ".zoo/tiny.safetensors").chmod(0)
    assert "Permission denied" in only_error(1, "separate", "in/a.wav")

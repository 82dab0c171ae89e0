"""Files and folders that may not be read or written, in real processes without root's powers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stemcli.cli.bad_songs import sing
from tests.stemcli.cli.conftest import QUICK
from tests.stemcli.cli.watching import errors, tree

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")

DROP = """
import ctypes, os, sys
if os.geteuid() == 0 and sys.platform == "linux":
    for power in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH in linux/capability.h
        ctypes.CDLL(None).prctl(24, power, 0, 0, 0)  # PR_CAPBSET_DROP in linux/prctl.h
os.execv(sys.executable, [sys.executable, "-m", "stemcli", *sys.argv[1:]])
"""
"""Become ``stem``, and be root no more where rights are asked for."""


@pytest.fixture
def library(processes: None, tmp_path: Path) -> Path:
    """Two songs, of which one may not be read, and folders with few rights or none."""
    for name in ("in", "closed", "read only"):
        (tmp_path / name).mkdir()
    for name in ("in/a.wav", "in/shut.wav"):
        sing(tmp_path / name)
    (tmp_path / "in/shut.wav").chmod(0)
    (tmp_path / "closed").chmod(0)
    (tmp_path / "read only").chmod(0o555)
    return tmp_path


def sentence(code: int, *words: str) -> str:
    """The only error."""
    command = [sys.executable, "-c", DROP, *words, "-m", "tiny", *QUICK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done
    (line,) = errors(done.stderr)
    return line


def test_a_song_among_good_ones(library: Path) -> None:
    before = tree(library)
    line = sentence(1, "batch", "in")
    assert line.endswith(
        "in/shut.wav cannot be opened (Permission denied). Check its name and permissions"
    )
    new = {"separated/.stem-journal.sqlite", "separated/a/vocals.wav", "separated/a/band.wav"}
    assert tree(library) - before == new


@pytest.mark.parametrize(
    ("words", "expected"),
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
def test_one_sentence_and_nothing_begun(
    words: tuple[str, ...], expected: str, library: Path
) -> None:
    before = tree(library)
    assert expected in sentence(1, *words)
    assert tree(library) == before


def test_weights(library: Path) -> None:
    (library / ".zoo/tiny.safetensors").chmod(0)
    assert "Permission denied" in sentence(1, "separate", "in/a.wav")

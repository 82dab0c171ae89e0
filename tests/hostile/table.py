"""What a row of the tables of hostile files says, and how a row is tried."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.hostile.child import Ended, stem
from tests.stemcli.cli.watching import errors

MEMORY = 400 * 10**6
"""Bytes that a command may take beside what it begins with; a bundled network takes a quarter."""

USER = "user"
"""A folder of files that belong to the user: none of them may change."""


@dataclass(frozen=True)
class Row:
    """A hostile file, folder or model.

    Attributes:
        kind: what it is, in words.
        make: writes it into an empty folder.
        command: of stem, typed in that folder.
        says: a pattern in the one sentence that refuses it, or that is said of it.
        code: with which the command ends; 0 for what does no harm.
        slow: whether it takes seconds.
    """

    kind: str
    make: Callable[[Path], object]
    command: str
    says: str = ""
    code: int = 1
    slow: bool = False


def params(rows: Sequence[Row]) -> list[Any]:
    """Rows for ``parametrize``, by their kinds; those that take seconds are marked so."""
    marks = {True: [pytest.mark.slow], False: []}
    return [pytest.param(row, id=row.kind, marks=marks[row.slow]) for row in rows]


def attack(row: Row, folder: Path) -> Ended:
    """Make what ``row`` describes, type its command and check what holds for all rows."""
    (folder / USER).mkdir()
    (folder / USER / "thesis.wav").write_text("three years of work")
    song(folder)
    row.make(folder)
    before = owned(folder)
    ended = stem(folder, *row.command.split())
    assert ended.code == row.code, ended
    assert ended.memory < MEMORY, ended
    assert "Traceback" not in ended.err
    assert "defect of stem" not in ended.err
    assert owned(folder) == before
    if row.code:
        sentences = errors(ended.err)
        assert len(sentences) == 1, sentences
        assert len(sentences[0]) < 1000
        assert re.search(row.says, sentences[0]), sentences[0]
    return ended


def owned(folder: Path) -> dict[str, str]:
    """The files of the user and what is in them."""
    files = sorted((folder / USER).rglob("*"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def song(folder: Path, name: str = "songs/a.wav") -> Path:
    """A tenth of a second of noise."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (4410, 2))
    soundfile.write(path, noise, 44_100)
    return path

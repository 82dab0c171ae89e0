"""What a row of the tables of hostile files says, and how a row is tried."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.hostile.child import TEMPORARY, Ended, stem
from tests.stemcli.cli.watching import errors

MEMORY = 400 * 10**6
"""Bytes that a command may take beside what it begins with; a bundled network takes a quarter."""

USER = "user"
"""A folder of files that belong to the user: none of them may change."""

OUTPUTS = ("made", "out")
"""Folders that commands are asked to write into."""

MADE = (*OUTPUTS, "logs", "report.csv", TEMPORARY)
"""What a command may change."""

TORCH_CACHE = "torchinductor_"
"""A folder that torch itself makes in the temporary one, and keeps."""

SMALL = 2**20
"""Bytes of files that are compared by their content."""


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
        stems: of other songs, that the command writes although it refuses this one.
    """

    kind: str
    make: Callable[[Path], object]
    command: str
    says: str = ""
    code: int = 1
    slow: bool = False
    stems: int = 0


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
    before, around, sounds = snapshot(folder), beside(folder), written(folder)
    ended = stem(folder, *row.command.split())
    assert ended.code == row.code, ended
    assert ended.memory < MEMORY, ended
    assert "Traceback" not in ended.err
    assert "bug in stem" not in ended.err
    assert controls(ended.out + ended.err) <= {"\n"}
    assert snapshot(folder) == before
    assert beside(folder) == around
    left = [name for name in os.listdir(folder / TEMPORARY) if not name.startswith(TORCH_CACHE)]
    assert left == []
    if row.code:
        sentences = errors(ended.err)
        assert len(sentences) == 1, sentences
        assert len(sentences[0]) < 1000
        assert re.search(row.says, sentences[0]), sentences[0]
        now = written(folder)
        assert sounds.items() <= now.items()
        assert len(now) == len(sounds) + row.stems
    return ended


def controls(text: str) -> set[str]:
    """Characters that steer a terminal or turn a line around (Unicode's categories)."""
    return {each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp")}


def snapshot(folder: Path) -> dict[str, object]:
    """What lies in a folder, but for what the command was asked to write there.

    Small files count by their content, and large ones, links, pipes and folders by what the file
    system says of them.
    """
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.partition("/")[0] in MADE:
            continue
        status = path.lstat()
        found[name] = (status.st_mode, status.st_ino)
        if stat.S_ISLNK(status.st_mode):
            found[name] = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            small = status.st_size <= SMALL
            content = hashlib.sha256(path.read_bytes()).hexdigest() if small else status.st_mtime_ns
            found[name] = (status.st_mode, status.st_size, content)
    return found


def beside(folder: Path) -> set[str]:
    return {path.name for path in folder.parent.iterdir()}


def written(folder: Path) -> dict[str, bytes]:
    """Sounds in the folders of outputs, and what is in them."""
    paths = [path for place in OUTPUTS for path in (folder / place).rglob("*.wav")]
    return {str(path): path.read_bytes() for path in paths if path.is_file()}


def song(folder: Path, name: str = "songs/a.wav") -> Path:
    """A tenth of a second of noise."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (4410, 2))
    soundfile.write(path, noise, 44_100)
    return path

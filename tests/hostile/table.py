"""Rows of the tables of malicious files, and the checks that hold for every row."""

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
from tests.stemcli.cli.results import errors

MEMORY = 400 * 10**6
"""Limit in bytes on the memory a command adds; a bundled network takes a quarter."""

USER = "user"
"""A folder of the user's files, none of which may change."""

OUTPUTS = ("made", "out")
"""Output folders of commands."""

WRITABLE = (*OUTPUTS, "logs", "report.csv", TEMPORARY)
"""Files and folders that a command may change."""

TORCH_CACHE = "torchinductor_"
"""A folder that torch itself creates in the temporary folder, and keeps."""

SMALL = 2**20
"""Size in bytes up to which files are compared by content."""


@dataclass(frozen=True)
class Row:
    """A malicious file, folder or model.

    Attributes:
        kind: a description.
        make: writes it into an empty folder.
        command: a command of stem, run in that folder.
        says: a pattern in the one error message, or in the notice.
        code: the expected exit code; 0 if it does no harm.
        slow: whether the row takes seconds.
        stems: number of stems of other songs that the command writes all the same.
    """

    kind: str
    make: Callable[[Path], object]
    command: str
    says: str = ""
    code: int = 1
    slow: bool = False
    stems: int = 0


def params(rows: Sequence[Row]) -> list[Any]:
    """Rows for ``parametrize``, with their kinds as ids; slow rows are marked."""
    marks = {True: [pytest.mark.slow], False: []}
    return [pytest.param(row, id=row.kind, marks=marks[row.slow]) for row in rows]


def attack(row: Row, folder: Path) -> Ended:
    """Write what ``row`` describes, run its command and check what holds for all rows."""
    (folder / USER).mkdir()
    (folder / USER / "thesis.wav").write_text("three years of work")
    song(folder)
    row.make(folder)
    before, siblings, songs_written = snapshot(folder), sibling_names(folder), written(folder)
    ended = stem(folder, *row.command.split())
    assert ended.code == row.code, ended
    assert ended.memory < MEMORY, ended
    assert "Traceback" not in ended.err
    assert "bug in stem" not in ended.err
    assert controls(ended.out + ended.err) <= {"\n"}
    assert snapshot(folder) == before
    assert sibling_names(folder) == siblings
    leftovers = [
        name for name in os.listdir(folder / TEMPORARY) if not name.startswith(TORCH_CACHE)
    ]
    assert leftovers == []
    if row.code:
        messages = errors(ended.err)
        assert len(messages) == 1, messages
        assert len(messages[0]) < 1000
        assert re.search(row.says, messages[0]), messages[0]
        songs_now = written(folder)
        assert songs_written.items() <= songs_now.items()
        assert len(songs_now) == len(songs_written) + row.stems
    return ended


def controls(text: str) -> set[str]:
    """Characters that control a terminal or the text direction (Unicode's categories)."""
    return {each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp")}


def snapshot(folder: Path) -> dict[str, object]:
    """The state of a folder, without the command's own outputs.

    Small files are compared by content; large files, links, pipes and folders by their metadata.
    """
    state: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.partition("/")[0] in WRITABLE:
            continue
        status = path.lstat()
        state[name] = (status.st_mode, status.st_ino)
        if stat.S_ISLNK(status.st_mode):
            state[name] = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            small = status.st_size <= SMALL
            content = hashlib.sha256(path.read_bytes()).hexdigest() if small else status.st_mtime_ns
            state[name] = (status.st_mode, status.st_size, content)
    return state


def sibling_names(folder: Path) -> set[str]:
    return {path.name for path in folder.parent.iterdir()}


def written(folder: Path) -> dict[str, bytes]:
    """WAV files in the output folders, with their content."""
    paths = [path for place in OUTPUTS for path in (folder / place).rglob("*.wav")]
    return {str(path): path.read_bytes() for path in paths if path.is_file()}


def song(folder: Path, name: str = "songs/a.wav") -> Path:
    """Write a tenth of a second of noise."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (4410, 2))
    soundfile.write(path, noise, 44_100)
    return path

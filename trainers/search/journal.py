"""The memory of a search: every event a line of JSON, on disk before anything follows from it.

A search that is killed at any moment is what its lines say. A line that was cut off never happened.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from model_zoo.errors import CheckpointError, OutputError
from model_zoo.parsing import parse_json
from stemcli.engine.events import Event
from stemcli.process import Closing
from trainers.search.trials import KINDS

JOURNAL = "search.jsonl"


class Journal(Closing):
    """Appends to ``search.jsonl`` in the folder of a search.

    Args:
        folder: of the search, which exists.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL
        try:
            self._file: BinaryIO = self._path.open("ab")
            self._file.truncate(_whole(self._path))
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def note(self, event: Event) -> None:
        """Write an event down for good.

        Raises:
            OutputError: it cannot be written.
        """
        line = json.dumps(event.to_dict(), separators=(",", ":")) + "\n"
        try:
            self._file.write(line.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(
            f"Cannot write {self._path} ({error.strerror}). Choose a folder you may write, on a "
            "disk with room"
        )


def remembered(folder: Path) -> list[Event]:
    """What a search told so far; nothing where it has not begun.

    Raises:
        CheckpointError: a line is damaged.
    """
    path = folder / JOURNAL
    if not path.exists():
        return []
    text = path.read_bytes()[: _whole(path)]
    return [*_events(text.splitlines(), path)]


def _events(lines: list[bytes], path: Path) -> Iterator[Event]:
    for number, line in enumerate(lines, start=1):
        try:
            values: dict[str, Any] = parse_json(line)
            yield KINDS[values.pop("event")](**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{path} is damaged in line {number}. Type --output with another folder and leave "
                "out --resume"
            ) from error


def _whole(path: Path) -> int:
    """Length in bytes up to the end of the last whole line."""
    return path.read_bytes().rfind(b"\n") + 1

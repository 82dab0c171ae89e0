"""Curves as a file that any program reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from model_zoo.files import staged
from model_zoo.plain import parse_json
from trainers.loop.logbook.protocol import Clip, Picture

HISTORY = "history.jsonl"


class HistoryLogbook:
    """A line of JSON for every entry: ``{"step": 10, "loss/total": 0.5, ...}``.

    An entry holds what was written at once: losses and rates in one, scores of a validation in
    another. Numbers that are none are written ``NaN``, ``Infinity`` and ``-Infinity``, as Python's
    json and pandas read them.

    Args:
        folder: of the run.
        first_step: steps done before; lines of later steps, and those that are damaged, go.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        path = folder / HISTORY
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        with staged(path) as temporary:
            temporary.write_bytes(b"".join(line for line in lines if _is_done(line, first_step)))
        self._file = path.open("a", encoding="utf-8")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a line."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def audio(self, step: int, song: str, name: str, wave: Clip, sample_rate: int) -> None:
        """No place for it."""

    def picture(self, step: int, song: str, name: str, picture: Picture) -> None:
        """No place for it."""

    def text(self, step: int, name: str, markdown: str) -> None:
        """No place for it."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _is_done(line: bytes, first_step: int) -> bool:
    try:
        return bool(parse_json(line)["step"] <= first_step)
    except (ValueError, KeyError, TypeError):
        return False

"""What a journal knows of a song and of its stems."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stemcli.batch.content import Content

State = Literal["begun", "ready", "done", "failed"]


@dataclass(frozen=True)
class Output:
    """One file of stems.

    Attributes:
        path: where it is, or will be.
        temporary: what it was called before it was renamed.
        content: what was last written there; None if nothing was.
        attempt: the last attempt at its song that was to make it.
    """

    path: Path
    temporary: Path
    content: Content | None
    attempt: int

    @property
    def is_whole(self) -> bool:
        """Whether the file still is as it was written."""
        return self.content is not None and self.content.is_in(self.path)


@dataclass(frozen=True)
class Entry:
    """What is known of one song.

    Attributes:
        source: where it lay.
        content: what was in it.
        settings: JSON of everything that determines what the stems sound like.
        state: how far it got.
        message: why it failed.
        attempts: how many times it was begun.
        finished: how many times it was completed.
        audio_seconds: length of what was separated.
        wall_seconds: time it took.
        outputs: every file that was ever made for it or is being made, by path.
    """

    source: Path
    content: Content
    settings: str
    state: State
    message: str
    attempts: int
    finished: int
    audio_seconds: float
    wall_seconds: float
    outputs: dict[Path, Output]

    @property
    def latest(self) -> list[Output]:
        """The files of the last attempt."""
        return [file for file in self.outputs.values() if file.attempt == self.attempts]

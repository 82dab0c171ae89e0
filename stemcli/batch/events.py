"""What a run over many songs tells, beside the events of each song."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stemcli.engine.events import Event


@dataclass(frozen=True)
class BatchStarted(Event):
    """All songs are found and all outputs planned; nothing was separated yet.

    ``passed`` files that a walk met are stems of those songs, from an earlier run.
    """

    songs: int
    passed: int = 0


@dataclass(frozen=True)
class BatchFinished(Event):
    """Every song is done, skipped or failed; ``report`` is the report as plain values."""

    report: dict[str, Any]

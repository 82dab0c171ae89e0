"""Reads back the logs of a run."""

from __future__ import annotations

import json
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def tensorboard(folder: Path) -> EventAccumulator:
    """All that TensorBoard would show of a run."""
    return EventAccumulator(str(folder), {"scalars": 0, "audio": 0, "images": 0}).Reload()


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in tensorboard(folder).Scalars(name)]


def backdate(folder: Path) -> None:
    """Make event files older: TensorBoard sorts them by name, which starts with a timestamp."""
    for path in folder.glob("events.*"):
        path.rename(path.with_name(path.name.replace("tfevents.", "tfevents.0")))


def history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]

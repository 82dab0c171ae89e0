"""What was written down of a run, read back."""

from __future__ import annotations

import json
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def page(folder: Path) -> EventAccumulator:
    """Everything that TensorBoard would show."""
    return EventAccumulator(str(folder), {"scalars": 0, "audio": 0, "images": 0}).Reload()


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in page(folder).Scalars(name)]


def age(folder: Path) -> None:
    """Make event files older: TensorBoard reads them by name, which begins with their second."""
    for path in folder.glob("events.*"):
        path.rename(path.with_name(path.name.replace("tfevents.", "tfevents.0")))


def history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]

"""Batch events, and the report of a batch as JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from model_zoo.errors import OutputError
from model_zoo.files import staged
from model_zoo.option_names import option
from stemcli.engine.events import Event
from stemcli.printable import cell

Outcome = Literal["done", "skipped", "failed"]
CSV_COLUMNS = (
    "song",
    "outcome",
    "message",
    "audio_seconds",
    "wall_seconds",
    "outputs",
    "notices",
    "picture",
)


@dataclass(frozen=True)
class TrackReport:
    """The result of one song.

    Attributes:
        song: the path of the input.
        outcome: ``done``, ``skipped`` or ``failed``.
        message: why the song was skipped or failed, one sentence.
        outputs: stem name to path.
        audio_seconds: length of the separated audio.
        wall_seconds: time the separation took.
        trace: the traceback of a failure.
        notices: other remarks, such as that the file seems to be cut off.
        picture: path of the picture; None if none was asked for.
    """

    song: str
    outcome: Outcome
    message: str
    outputs: dict[str, str]
    audio_seconds: float = 0.0
    wall_seconds: float = 0.0
    trace: str = ""
    notices: tuple[str, ...] = ()
    picture: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without the traceback."""
        return {key: value for key, value in asdict(self).items() if key != "trace"}


@dataclass(frozen=True)
class BatchReport:
    """The results of all songs, in the order of the request.

    Attributes:
        tracks: one per song.
        wall_seconds: total time of the batch.
        network_seconds: time in the network, averaged over the jobs.
    """

    tracks: tuple[TrackReport, ...]
    wall_seconds: float
    network_seconds: float = 0.0

    def count(self, outcome: Outcome) -> int:
        """Number of songs with this outcome."""
        return Counter(track.outcome for track in self.tracks)[outcome]

    @property
    def failures(self) -> list[TrackReport]:
        """The songs that failed."""
        return [track for track in self.tracks if track.outcome == "failed"]

    @property
    def audio_seconds(self) -> float:
        """Total length of the separated audio."""
        return sum(track.audio_seconds for track in self.tracks)

    @property
    def exit_code(self) -> int:
        """1 if a song failed, else 0."""
        return 1 if self.failures else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``speed`` is audio seconds per second of work."""
        return {
            "done": self.count("done"),
            "skipped": self.count("skipped"),
            "failed": self.count("failed"),
            "audio_seconds": self.audio_seconds,
            "wall_seconds": self.wall_seconds,
            "network_seconds": self.network_seconds,
            "speed": self.audio_seconds / self.wall_seconds if self.wall_seconds > 0 else 0.0,
            "tracks": [track.to_dict() for track in self.tracks],
        }

    def to_csv(self) -> str:
        """One row per song; the outputs and the notices of a song are separated by `` | ``."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows([cell(value) for value in row] for row in self._rows())
        return text.getvalue()

    def write(self, path: Path) -> None:
        """Write CSV if the path ends in ``.csv``, else JSON.

        CSV starts with a byte order mark, without which Excel does not read it as UTF-8.

        Raises:
            OutputError: the file cannot be written.
        """
        is_csv = path.suffix.lower() == ".csv"
        text = self.to_csv() if is_csv else json.dumps(self.to_dict(), indent=2) + "\n"
        encoding = "utf-8-sig" if is_csv else "utf-8"
        with staged(path) as temporary:
            temporary.write_text(text, encoding=encoding, errors="backslashreplace")

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for track in self.tracks:
            times = f"{track.audio_seconds:.3f}", f"{track.wall_seconds:.3f}"
            outputs = " | ".join(track.outputs.values())
            notices = " | ".join(track.notices)
            yield (
                track.song,
                track.outcome,
                track.message,
                *times,
                outputs,
                notices,
                track.picture or "",
            )


def check_report(path: Path) -> None:
    """Check before the work that a report can be written.

    Raises:
        OutputError: the path is a folder, or its folder does not exist or is not writable.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder. Use {option('report')} with the name of a file")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"The folder {path.parent} of the report does not exist. Create it first")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise OutputError(
            f"{path} is not writable. Use {option('report')} with a path in another folder"
        )


@dataclass(frozen=True)
class BatchStarted(Event):
    """A batch starts: all songs were found and all outputs were planned.

    Attributes:
        songs: number of songs.
        passed: number of files that are stems of those songs from an earlier run.
        skipped: number of songs to skip, by reason.
        again: number of songs to redo, by reason.
    """

    songs: int
    passed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    again: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchFinished(Event):
    """Every song is done, skipped or failed; ``report`` is the report as plain values."""

    report: dict[str, Any]


@dataclass(frozen=True)
class WorkerJoined(Event):
    """A worker on a machine of the cluster is ready."""

    worker: str
    device: str
    precision: str


@dataclass(frozen=True)
class WorkerLost(Event):
    """A worker was lost; its songs are given to other workers."""

    worker: str
    reason: str


@dataclass(frozen=True)
class WorkerRefused(Event):
    """A machine of the cluster cannot run the worker and gets no songs."""

    worker: str
    reason: str


@dataclass(frozen=True)
class WorkersAwaited(Event):
    """No worker has started: there are no ``slots``, or other programs hold their cores or GPUs."""

    slots: int

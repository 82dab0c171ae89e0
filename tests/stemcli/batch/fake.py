"""A fake engine that writes text files instead of separating, so that runs are instant."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_zoo.errors import DecodeError
from stemcli.audio.writer import beside
from stemcli.batch.executor import LocalExecutor
from stemcli.engine.events import (
    Event,
    EventHandler,
    ModelLoaded,
    Progress,
    TrackFailed,
    TrackFinished,
    TrackSkipped,
    TrackStarted,
)
from stemcli.engine.options import Options
from stemcli.engine.outputs import Ready
from stemcli.engine.planned import PlannedFiles, plan_files
from stemcli.engine.publish import StagedFiles
from stemcli.engine.song import Result

SECONDS = 10.0  # length of every fake song
RATE = 44100


@dataclass
class FakeSession:
    """A song with the content ``bad`` cannot be decoded; ``crash`` raises like a bug in Stem."""

    options: Options
    on_event: EventHandler
    jobs: int = 1
    network_seconds: float = 1.0
    stems: tuple[str, ...] = ("vocals", "instrumental")
    before: Callable[[Path], object] = lambda song: None
    model: dict[str, str] = field(default_factory=lambda: {"fake": "1"})
    threads: set[int] = field(default_factory=set)
    interrupted: bool = False
    load: Any = None

    def emit(self, event: Event) -> None:
        self.on_event(event)

    def plan_files(self, song: Path, *, folder: Path | None = None) -> PlannedFiles:
        root = Path(self.options.output) / (folder or Path())
        return plan_files(song, self.stems, self.options, folder=root, model="fake")

    @property
    def settings(self) -> dict[str, Any]:
        return {"format": self.options.format, "overlap": self.options.overlap, "model": self.model}

    def separate_file(
        self,
        song: Path,
        *,
        folder: Path | None = None,
        replace: bool = False,
        ready: Ready = lambda files: None,
        planned: PlannedFiles | None = None,
        track: str = "",
    ) -> Result:
        self.threads.add(threading.get_ident())
        self.before(song)
        track = track or str((folder or Path()) / song.name)
        if planned is None:
            planned = self.plan_files(song, folder=folder)
        files = planned.files
        if self.options.existing == "skip" and all(path.exists() for path in files):
            self.on_event(TrackSkipped(track, "all stems exist"))
            return Result(planned.stems, skipped=True)
        self._read(song, track)
        for event in self._work(track):
            if self.interrupted:
                raise KeyboardInterrupt
            self.on_event(event)
        renames = [(beside(path), path) for path in files]
        for temporary, path in renames:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(f"{path.stem} of {song.name}")
        is_renamed_elsewhere = ready(renames) is True
        if not is_renamed_elsewhere:
            rename_all(renames)
        printed, drawn = planned.spelled()
        self.on_event(TrackFinished(track, printed, SECONDS, 2.0, drawn))
        frames = round(SECONDS * RATE)
        picture = planned.picture
        return Result(planned.stems, frames, RATE, wall_seconds=2.0, picture=picture)

    def interrupt(self) -> None:
        self.interrupted = True

    def _read(self, song: Path, track: str) -> None:
        content = song.read_text() if song.exists() else "bad"
        if content == "crash":
            raise RuntimeError("a tensor of the wrong shape")
        if content == "bad":
            error = DecodeError(f"{song.name} holds no sound that can be read")
            self.on_event(TrackFailed(track, str(error)))
            raise error

    def _work(self, track: str) -> list[Event]:
        return [
            ModelLoaded("fake", "cpu", "fp32", "this CPU is old"),
            TrackStarted(track, SECONDS, RATE, 2),
            Progress(track, "separating", SECONDS / 2, SECONDS),
            Progress(track, "encoding", SECONDS, SECONDS),
        ]


def rename_all(files: StagedFiles) -> None:
    """Rename files without undoing anything, so that an error looks like the end of the process."""
    for temporary, path in files:
        temporary.replace(path)


def make_songs(root: Path, *names: str, content: str = "good") -> list[Path]:
    """Write small text files in the place of songs."""
    paths = [root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return paths


def open_fake(options: Options, on_event: EventHandler, jobs: int) -> LocalExecutor:
    return LocalExecutor(FakeSession(options, on_event, jobs), jobs)

"""Small libraries that the fake engine separates, on this machine and in a bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stemcli.batch.executor import LocalExecutor, OpenExecutor, open_local
from stemcli.batch.journal import Journal
from stemcli.batch.library import find_songs
from stemcli.batch.report import BatchReport, BatchStarted
from stemcli.batch.run import separate_songs
from stemcli.engine.events import Event
from stemcli.engine.options import Options
from stemcli.remote_path import UrlPath
from tests.stemcli.batch.fake import FakeSession, make_songs


class Library:
    """Songs, and runs over them that record which songs were separated."""

    def __init__(self, root: Path) -> None:
        self.root, self.out = root, root / "out"
        self.separated: list[str] = []
        self.started = BatchStarted(0)
        self.model = {"fake": "1"}
        self.before: Callable[[Path], object] = lambda song: None
        make_songs(root / "in", "x/a.mp3", "x/b.mp3", "c.mp3")

    def run(self, retries: int = 0, folder: str = "in", **options: Any) -> BatchReport:
        self.separated = []
        songs = find_songs(self.root / folder).songs
        with Journal(self.out) as journal:
            return separate_songs(
                songs,
                Options(output=str(self.out), **options),
                retries=retries,
                journal=journal,
                on_event=self._on_event,
                open_executor=self._open,
            )

    def _on_event(self, event: Event) -> None:
        if isinstance(event, BatchStarted):
            self.started = event

    def _open(self, options: Options, on_event: Any, jobs: int) -> LocalExecutor:
        def before(song: Path) -> None:
            self.separated.append(song.name)
            self.before(song)

        session = FakeSession(options, on_event, jobs, before=before, model=self.model)
        return LocalExecutor(session, jobs)


def change(library: Library, name: str, text: str) -> None:
    (library.root / name).write_text(text)


class UrlLibrary:
    """Songs in a bucket, and stems in another folder of it or on this machine."""

    def __init__(self, bucket: UrlPath, out: Path) -> None:
        self.songs, self.out = bucket / "songs", out
        self.separated: list[str] = []
        self.events: list[Event] = []

    def run(self, open_executor: OpenExecutor = open_local, **options: Any) -> BatchReport:
        self.separated = []
        with Journal(self.out) as journal:
            return separate_songs(
                find_songs(self.songs, output=self.out).songs,
                Options(output=str(self.out), **options),
                journal=journal,
                on_event=self.events.append,
                open_executor=open_executor,
            )

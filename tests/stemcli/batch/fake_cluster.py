"""Runs of songs on the nodes of a fake Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayError

from stemcli.batch.executor import TaskResult, WrittenStem
from stemcli.batch.library import LibrarySong
from stemcli.batch.plan import SongTask
from stemcli.batch.ray_executor import RayExecutor
from stemcli.batch.records import Content
from stemcli.engine.events import Event
from stemcli.engine.options import Options
from tests.stemcli.batch.fake import make_songs
from tests.stemcli.batch.fake_ray import GOOD, FakeRay


class StepLog:
    """Callbacks that record the steps of one song; stems must not have their names yet."""

    def __init__(self, task: SongTask) -> None:
        self.task = task
        self.steps: list[str] = []
        self.contents: list[Content] = []
        self.stems: list[tuple[WrittenStem, ...]] = []

    def on_start(self) -> None:
        self.steps.append("start")

    def on_read(self, content: Content) -> None:
        self.steps.append("read")
        self.contents.append(content)

    def on_written(self, stems: Any) -> bool:
        self.steps.append("written")
        self.stems.append(tuple(stems))
        assert not any(path.exists() for path in self.task.planned.stems.values())
        return False


class Cluster:
    """Runs songs of the current folder on the nodes of a fake cluster."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        patch.chdir(folder)
        self.ray = FakeRay(patch)
        self.ray.live_nodes = {"a": GOOD}
        self.events: list[Event] = []
        self.logs: dict[str, StepLog] = {}
        self.on_event: Callable[[Event], object] = self.events.append
        self.executor = RayExecutor(Options(output="out"), self._forward, 1)

    def tasks(self, *names: str, content: str = "good") -> list[SongTask]:
        songs = make_songs(Path(), *names, content=content)
        return [SongTask(LibrarySong(song), self.executor.plan_files(song)) for song in songs]

    def run(self, tasks: list[SongTask]) -> dict[str, TaskResult]:
        """Results by song name."""
        with self.executor:
            return {result.task.name: result for result in self.results(tasks)}

    def results(self, tasks: list[SongTask]) -> Iterator[TaskResult]:
        run = self.executor.run(tasks, replace=False, callbacks=self._log_steps)
        with closing(run) as results:
            yield from results

    def events_of(self, *kinds: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kinds)]

    def _forward(self, event: Event) -> None:
        self.on_event(event)

    def _log_steps(self, task: SongTask) -> StepLog:
        self.logs[task.name] = StepLog(task)
        return self.logs[task.name]

    def schedule(self, *steps: Callable[[], object]) -> None:
        self.ray.plan += steps

    def hold(self) -> None:
        """Actors started from now on send no messages until ``release``."""
        self.ray.hold_new = True

    def release(self) -> None:
        self.ray.hold_new = False
        for actor in self.ray.actors:
            actor.is_held = False

    def kill(self, number: int) -> None:
        """Let an actor die."""
        self.ray.actors[number].error = RayError("it died")


def partial_files() -> list[Path]:
    return [path for path in Path("out").rglob("*.part*") if path.is_file()]

"""Who separates the songs of a run: this machine, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from stemcli.batch.content import Content
from stemcli.batch.plan import Planner, Task
from stemcli.engine.delivery import Ready
from stemcli.engine.events import Listener
from stemcli.engine.options import Options

AT_THE_ENDS = 2
"""Songs beside those whose networks run: one is being opened, one is being finished."""


class Made(NamedTuple):
    """A complete stem that has only to be renamed."""

    temporary: Path
    path: Path
    content: Content


class Steps(Protocol):
    """Told how far a song is; the work goes on when the call returns."""

    def begun(self, content: Content) -> None:
        """The song was read; nothing is written yet."""

    def complete(self, stems: Sequence[Made]) -> None:
        """All stems are on the disk under temporary names."""


class Outcome(Protocol):
    """What became of a song."""

    @property
    def seconds(self) -> float:
        """Length of the song."""

    @property
    def wall_seconds(self) -> float:
        """How long it took, without waiting for a free network."""

    @property
    def skipped(self) -> bool:
        """Whether its stems were there already."""


class Crew(Planner, Protocol):
    """Separates songs that several threads give it.

    A context manager: at the end nothing is left running.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides what the stems sound like, as plain values."""

    @property
    def at_once(self) -> int:
        """Songs that may be given at the same time."""

    @property
    def network_seconds(self) -> float:
        """Time for which networks have run so far, the mean over all places for one."""

    def separate(self, task: Task, *, replace: bool, steps: Steps | None) -> Outcome:
        """Separate one song; all of its stems appear, or none.

        Args:
            task: the song and the files its stems become.
            replace: the stems that exist, whatever the options say of them.
            steps: told how far it is; None spares the hashes.

        Raises:
            StemError: whatever was wrong with the song.
        """

    def rank(self, task: Task) -> int:
        """Songs of a lower rank are begun earlier, of the same rank in their order."""

    def interrupt(self) -> None:
        """Songs that are being worked on raise KeyboardInterrupt soon and leave nothing behind."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


OpenCrew = Callable[[Options, Listener, int], Crew]
"""From options, a listener and the number of jobs."""


class Separates(Planner, Protocol):
    """The part of a :class:`~stemcli.engine.session.Session` that a crew needs."""

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides what the stems sound like, as plain values."""

    @property
    def network_seconds(self) -> float:
        """Time for which networks have run so far, over all jobs."""

    def separate_file(
        self, song: Path, *, folder: Path | None, replace: bool, ready: Ready
    ) -> Outcome:
        """Separate one song; all of its stems appear, or none."""

    def interrupt(self) -> None:
        """Songs that are being worked on raise KeyboardInterrupt with their next event."""


class LocalCrew:
    """Threads of this process.

    Args:
        session: the engine.
        jobs: songs whose networks it runs at the same time.
    """

    def __init__(self, session: Separates, jobs: int) -> None:
        self.session, self.jobs = session, jobs
        self.at_once = jobs + AT_THE_ENDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """There is nothing to let go of."""

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`Crew`."""
        return self.session.settings

    @property
    def network_seconds(self) -> float:
        """See :class:`Crew`."""
        return self.session.network_seconds / self.jobs

    def plan(self, song: Path, *, folder: Path | None = None) -> dict[str, Path]:
        """See :class:`~stemcli.batch.plan.Planner`."""
        return self.session.plan(song, folder=folder)

    def separate(self, task: Task, *, replace: bool, steps: Steps | None) -> Outcome:
        """See :class:`Crew`."""
        song, ready = task.song, _ignore
        if steps:
            steps.begun(Content.of_readable(song.path))
            ready = partial(_tell_complete, steps)
        return self.session.separate_file(
            song.path, folder=song.folder, replace=replace, ready=ready
        )

    def rank(self, task: Task) -> int:
        """See :class:`Crew`."""
        return 0

    def interrupt(self) -> None:
        """See :class:`Crew`."""
        self.session.interrupt()


def open_local(options: Options, listener: Listener, jobs: int) -> Crew:
    """The engine in this process, imported only when a run begins."""
    from stemcli.engine.session import Session

    return LocalCrew(Session(options, listener, jobs=jobs), jobs)


def _ignore(files: Mapping[str, tuple[Path, Path]]) -> None:
    """Told of complete stems that nobody keeps a journal of."""


def _tell_complete(steps: Steps, files: Mapping[str, tuple[Path, Path]]) -> None:
    steps.complete(
        [Made(made, path, Content.of(made, synced=True)) for made, path in files.values()]
    )

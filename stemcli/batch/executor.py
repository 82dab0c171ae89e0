"""Who separates the songs of a run: this machine, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from model_zoo.errors import DecodeError, OutputError, StemError
from stemcli.audio.writer import beside
from stemcli.batch.plan import Planner, SongTask
from stemcli.batch.records import Content
from stemcli.engine.events import Listener
from stemcli.engine.options import Options
from stemcli.engine.outputs import Ready
from stemcli.remote_path import UrlPath, as_path

if TYPE_CHECKING:
    from stemcli.engine.models import LoadedModel

AT_THE_ENDS = 2
"""Songs beside those whose networks run: one is being opened, one is being finished."""


class WrittenStem(NamedTuple):
    """A complete stem that has only to be renamed."""

    temporary: Path
    path: Path
    content: Content


class StepCallbacks(Protocol):
    """Told how far a song is; the work goes on when the call returns."""

    def on_read(self, content: Content) -> None:
        """The song was read; nothing is written yet."""

    def on_written(self, stems: Sequence[WrittenStem]) -> None:
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


class Executor(Planner, Protocol):
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

    def separate(self, task: SongTask, *, replace: bool, steps: StepCallbacks | None) -> Outcome:
        """Separate one song; all of its stems appear, or none.

        Args:
            task: the song and the files its stems become.
            replace: the stems that exist, whatever the options say of them.
            steps: told how far it is; None spares the hashes.

        Raises:
            StemError: whatever was wrong with the song.
        """

    def rank(self, task: SongTask) -> int:
        """Songs of a lower rank are begun earlier, of the same rank in their order."""

    def interrupt(self) -> None:
        """Songs that are being worked on raise KeyboardInterrupt soon and leave nothing behind."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


OpenCrew = Callable[[Options, Listener, int], Executor]
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


class LocalExecutor:
    """Threads of this process; songs behind URLs are fetched into a temporary folder.

    Args:
        session: the engine.
        jobs: songs whose networks it runs at the same time.
    """

    def __init__(self, session: Separates, jobs: int) -> None:
        self.session, self.jobs = session, jobs
        self.at_once = jobs + AT_THE_ENDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """There is nothing to let go of."""

    @property
    def settings(self) -> dict[str, Any]:
        """See :class:`Executor`."""
        return self.session.settings

    @property
    def network_seconds(self) -> float:
        """See :class:`Executor`."""
        return self.session.network_seconds / self.jobs

    def plan(self, song: Path, *, folder: Path | None = None) -> dict[str, Path]:
        """See :class:`~stemcli.batch.plan.Planner`."""
        return self.session.plan(song, folder=folder)

    def separate(self, task: SongTask, *, replace: bool, steps: StepCallbacks | None) -> Outcome:
        """See :class:`Executor`."""
        song = task.song
        if steps:
            steps.on_read(Content.of_readable(song.path))
        with fetched(song.path) as here:
            return self.session.separate_file(
                here, folder=song.folder, replace=replace, ready=self._ready(task, steps)
            )

    def _ready(self, task: SongTask, steps: StepCallbacks | None) -> Ready:
        return partial(_tell_complete, steps) if steps else _ignore

    def rank(self, task: SongTask) -> int:
        """See :class:`Executor`."""
        return 0

    def interrupt(self) -> None:
        """See :class:`Executor`."""
        self.session.interrupt()


class StagedExecutor(LocalExecutor):
    """Stems are written into a temporary folder and carried behind a URL from there.

    Args:
        session: the engine, which writes into ``stage``.
        jobs: songs whose networks it runs at the same time.
        stage: the temporary folder.
        target: where the stems go.
    """

    def __init__(
        self, session: Separates, jobs: int, stage: TemporaryDirectory[str], target: Path
    ) -> None:
        super().__init__(session, jobs)
        self._stage, self._target = stage, target

    def __exit__(self, *error: object) -> None:
        self._stage.cleanup()

    def plan(self, song: Path, *, folder: Path | None = None) -> dict[str, Path]:
        """See :class:`~stemcli.batch.plan.Planner`."""
        here = self.session.plan(Path(song.name), folder=folder)
        stage = Path(self._stage.name)
        return {stem: self._target / path.relative_to(stage) for stem, path in here.items()}

    def separate(self, task: SongTask, *, replace: bool, steps: StepCallbacks | None) -> Outcome:
        """See :class:`Executor`; of a song that is over nothing stays in the temporary folder."""
        song = task.song
        here = self.session.plan(Path(song.path.name), folder=song.folder)
        try:
            return super().separate(task, replace=replace, steps=steps)
        except OutputError as error:
            room = Path(self._stage.name).parent
            raise OutputError(
                f"{error}; to write first to another than {room}, set TMPDIR"
            ) from error
        finally:
            for path in here.values():
                path.unlink(missing_ok=True)

    def _ready(self, task: SongTask, steps: StepCallbacks | None) -> Ready:
        return partial(_carry, task, steps)


def open_local(
    options: Options,
    listener: Listener | None,
    jobs: int,
    *,
    load: Callable[[str], LoadedModel] | None = None,
) -> LocalExecutor:
    """The engine in this process, imported only when a run begins.

    Args:
        options: what the user chose.
        listener: told what happens.
        jobs: songs whose networks run at the same time.
        load: gives the model that a name stands for, if not the zoo.
    """
    from stemcli.engine.models import load_model
    from stemcli.engine.session import Session

    load = load or load_model
    target = as_path(options.output)
    if not isinstance(target, UrlPath):
        local = replace(options, output=str(target))
        return LocalExecutor(Session(local, listener, jobs=jobs, load=load), jobs)
    stage = TemporaryDirectory(prefix="stem-")
    # What is in the temporary folder is of this run, so nothing there is to be kept.
    staged = replace(options, output=stage.name, existing="overwrite")
    return StagedExecutor(Session(staged, listener, jobs=jobs, load=load), jobs, stage, target)


@contextmanager
def fetched(song: Path) -> Iterator[Path]:
    """The song on this machine, under its own name.

    Raises:
        StemError: it cannot be fetched, or whatever is raised inside, by the song's own address.
    """
    if not isinstance(song, UrlPath):
        yield song
        return
    with TemporaryDirectory(prefix="stem-") as folder:
        here = Path(folder) / song.name
        _fetch(song, here)
        try:
            yield here
        except StemError as error:
            raise StemError(str(error).replace(str(here), str(song))) from error


def _fetch(song: UrlPath, here: Path) -> None:
    try:
        song.fetch(here)
    except FileNotFoundError as error:
        raise DecodeError(f"There is no file {song} any more.") from error
    except OSError as error:
        raise OutputError(
            f"{song} cannot be fetched to {here.parent} ({error.strerror or error}): set TMPDIR to "
            "a folder with more room"
        ) from error


def _carry(
    task: SongTask, steps: StepCallbacks | None, files: Mapping[str, tuple[Path, Path]]
) -> None:
    """Carry complete stems behind their URLs, and rename them there."""
    carried: list[WrittenStem] = []
    renamed: list[Path] = []
    try:
        for stem, (made, _) in files.items():
            target = task.outputs[stem]
            temporary = beside(target)
            carried.append(WrittenStem(temporary, target, Content.of(made)))
            assert isinstance(temporary, UrlPath)
            temporary.store(made)
        if steps:
            steps.on_written(carried)
        for temporary, target, _ in carried:
            temporary.replace(target)
            renamed.append(target)
    except BaseException:
        for path in (*(made.temporary for made in carried), *renamed):
            path.unlink(missing_ok=True)
        raise
    if steps:
        steps.on_written([WrittenStem(path, path, Content.of(path)) for _, path, _ in carried])


def _ignore(files: Mapping[str, tuple[Path, Path]]) -> None:
    """Told of complete stems that nobody keeps a journal of."""


def _tell_complete(steps: StepCallbacks, files: Mapping[str, tuple[Path, Path]]) -> None:
    steps.on_written(
        [WrittenStem(made, path, Content.of(made, synced=True)) for made, path in files.values()]
    )

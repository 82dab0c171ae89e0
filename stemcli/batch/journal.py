"""Records the progress of a batch in one SQLite file in the folder of stems.

Each song passes through three states. ``begun`` is recorded before any file is written. ``ready``
is recorded with the hashes of all stems when they are complete under temporary names: from then on
they only have to be renamed, which the next run can do after a crash. ``done`` or ``failed`` is
recorded at the end. A run that is killed at any moment therefore loses only the songs in progress,
and no song is separated twice.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from model_zoo.catalogue.cards import zoo_home
from model_zoo.errors import OutputError
from model_zoo.option_names import option, setting
from stemcli.batch.journal_checks import (
    MOST_TEXT,
    Budget,
    BusyError,
    DamagedError,
    check_database,
    check_files,
    check_links,
    is_empty,
    restrict,
    settled_copy,
)
from stemcli.batch.records import (
    Content,
    JournalEntry,
    Output,
    State,
    below,
    has_backslashes,
    spelled,
    stored,
    to_bytes,
    to_text,
    turn_backslashes,
)
from stemcli.process import Closing
from stemcli.remote_path import UrlPath, as_path

NAME = ".stem-journal.sqlite"
"""Name of the journal in a folder of stems."""

VERSION = 1

SCHEMA = f"""
PRAGMA user_version = {VERSION};
CREATE TABLE song (
    place BLOB PRIMARY KEY,     -- name of the song: its path below the input folder
    source BLOB NOT NULL,       -- the real path
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL,
    settings TEXT NOT NULL,     -- JSON: options, models and their hashes
    state TEXT NOT NULL,        -- begun, ready, done or failed
    message TEXT NOT NULL,      -- why it failed
    attempts INTEGER NOT NULL,  -- times it was begun
    finished INTEGER NOT NULL,  -- times it was done
    changed REAL NOT NULL,      -- seconds since 1970
    audio_seconds REAL NOT NULL, wall_seconds REAL NOT NULL
);
CREATE TABLE output (
    place BLOB NOT NULL,
    path BLOB NOT NULL,         -- below the folder of the journal
    attempt INTEGER NOT NULL,   -- the last one that meant to make it
    temporary BLOB NOT NULL,    -- its name until it was renamed
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL,       -- empty when no attempt made it
    PRIMARY KEY (place, path)
);
"""


class Journal(Closing):
    """The journal of one folder, locked until it is closed.

    The file is created with the first entry, so that a refused run leaves no file.

    Args:
        folder: folder of the stems; the journal of a URL is stored on this machine.
        read_only: read a copy of the journal, without a lock and without changing any file. This
            works while a run writes to the folder, after a power failure, and without write
            permission. The copy shows the state at the moment of opening.

    Raises:
        OutputError: by every method: another run holds the journal, it is damaged, or it cannot be
            written.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder, self.path = folder, _journal_of(folder)
        self._is_read_only = read_only
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._budget: Budget | None = None
        self._temporary = ExitStack()
        with self._explain_errors():
            if os.path.lexists(self.path) and read_only:
                self._connect_to_copy()
            elif os.path.lexists(self.path):
                self._connect()

    def close(self) -> None:
        """Release the lock, or remove the copy."""
        if self._connection:
            self._connection.close()
            self._connection = None
        self._temporary.close()

    def find(self, name: str) -> JournalEntry | None:
        """The entry of the song with this name; None if there is none."""
        rows = self._rows("SELECT * FROM song WHERE place = ?", stored(name))
        return self._entry(rows[0]) if rows else None

    def unfinished(self) -> dict[str, JournalEntry]:
        """Songs that were in progress when a run was killed, by name.

        It is safe to rename or remove their files, because none of them is outside the folder.
        """
        rows = self._rows("SELECT * FROM song WHERE state IN ('begun', 'ready')")
        entries = {spelled(row["place"]): self._entry(row) for row in rows}
        with self._explain_errors():
            for entry in entries.values():
                for file in entry.latest:
                    check_links(self.folder, file.path, file.temporary)
        return entries

    def stems(self) -> set[Path]:
        """All files that runs have written into the folder."""
        rows = self._rows("SELECT path FROM output WHERE sha256 != ''")
        return {self.folder / below(row["path"]) for row in rows}

    def songs(self) -> Iterator[tuple[Path, Path]]:
        """Iterate over all songs: source path, and path if songs and stems shared the folder."""
        for row in self._rows("SELECT source, place FROM song"):
            yield as_path(to_text(row["source"])), self.folder / spelled(row["place"])

    def begin(
        self, name: str, source: Path, content: Content, settings: str, paths: Iterable[Path]
    ) -> None:
        """Record the files that an attempt will write; files of earlier attempts stay recorded."""
        with self._writing() as database:
            database.execute(
                "INSERT INTO song VALUES (?, ?, ?, ?, ?, ?, 'begun', '', 1, 0, ?, 0, 0)"
                " ON CONFLICT (place) DO UPDATE SET source = excluded.source,"
                " size = excluded.size, mtime_ns = excluded.mtime_ns, sha256 = excluded.sha256,"
                " settings = excluded.settings, state = 'begun', message = '',"
                " attempts = attempts + 1, changed = excluded.changed",
                (stored(name), to_bytes(str(source)), *content, settings, time.time()),
            )
            database.executemany(
                "INSERT INTO output SELECT place, ?, attempts, x'', 0, 0, '' FROM song"
                " WHERE place = ?"
                " ON CONFLICT (place, path) DO UPDATE SET attempt = excluded.attempt",
                [(self._below(path), stored(name)) for path in paths],
            )

    def read(self, name: str, content: Content) -> None:
        """Record the content of a song that was begun before it had been read."""
        with self._writing() as database:
            database.execute(
                "UPDATE song SET size = ?, mtime_ns = ?, sha256 = ? WHERE place = ?",
                (*content, stored(name)),
            )

    def ready(self, name: str, stems: Iterable[tuple[Path, Path, Content]]) -> None:
        """Record that all stems are complete: their temporary and final paths and their content."""
        self.record(name, stems, "ready")

    def record(self, name: str, stems: Iterable[tuple[Path, Path, Content]], state: State) -> None:
        """Record the paths and content of stems, and the state of their song."""
        rows = [
            (self._below(temporary), *content, stored(name), self._below(path))
            for temporary, path, content in stems
        ]
        with self._writing() as database:
            database.executemany(
                "UPDATE output SET temporary = ?, size = ?, mtime_ns = ?, sha256 = ?"
                " WHERE place = ? AND path = ?",
                rows,
            )
            self._set(database, name, state)

    def done(self, name: str, audio_seconds: float = 0.0, wall_seconds: float = 0.0) -> None:
        """Record that all stems have their final names, and the times if known."""
        with self._writing() as database:
            database.execute(
                "UPDATE song SET audio_seconds = ?, wall_seconds = ?, finished = finished + 1"
                " WHERE place = ?",
                (audio_seconds, wall_seconds, stored(name)),
            )
            self._set(database, name, "done")

    def failed(self, name: str, message: str) -> None:
        """Record why a song failed."""
        with self._writing() as database:
            self._set(database, name, "failed", message)

    def _set(
        self, database: sqlite3.Connection, name: str, state: State, message: str = ""
    ) -> None:
        printable = message[:MOST_TEXT].encode("utf-8", "backslashreplace").decode()
        database.execute(
            "UPDATE song SET state = ?, message = ?, changed = ? WHERE place = ?",
            (state, printable, time.time(), stored(name)),
        )

    def _entry(self, row: sqlite3.Row) -> JournalEntry:
        rows = self._rows("SELECT * FROM output WHERE place = ?", row["place"])
        return JournalEntry(
            source=as_path(to_text(row["source"])),
            content=_content(row),
            settings=row["settings"],
            state=row["state"],
            message=row["message"],
            attempts=row["attempts"],
            finished=row["finished"],
            audio_seconds=row["audio_seconds"],
            wall_seconds=row["wall_seconds"],
            outputs={file.path: file for file in map(self._output, rows)},
        )

    def _output(self, row: sqlite3.Row) -> Output:
        path = below(row["path"])
        temporary = below(row["temporary"]) if row["temporary"] else path
        content = _content(row) if row["sha256"] else None
        return Output(self.folder / path, self.folder / temporary, content, row["attempt"])

    def _below(self, path: Path) -> bytes:
        """The stored form of a path, relative so that the folder can be moved with its journal."""
        return stored(path.relative_to(self.folder))

    def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock, self._explain_errors():
            self._renew()
            return self._connection.execute(query, values).fetchall() if self._connection else []

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explain_errors():
            connection = self._connection or self._connect()
            self._renew()
            with connection:
                yield connection

    def _renew(self) -> None:
        """Give the next query its own budget of steps."""
        if self._budget:
            self._budget.renew()

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = self._opened(self.path)
        return self._connection

    def _connect_to_copy(self) -> None:
        """Open a copy; if it is damaged, copy once more.

        File systems round timestamps, so a change during the first copy may go unnoticed.
        """
        with ExitStack() as temporary:
            folder = Path(temporary.enter_context(tempfile.TemporaryDirectory(prefix="stem-")))
            try:
                self._connection = self._opened(settled_copy(self.path, folder))
            except (sqlite3.DatabaseError, DamagedError):
                self._connection = self._opened(settled_copy(self.path, folder))
            except FileNotFoundError:  # it was removed in the meantime
                if os.path.lexists(self.path):
                    raise
            self._temporary = temporary.pop_all()

    def _opened(self, path: Path) -> sqlite3.Connection:
        if os.path.lexists(path):
            check_files(path)
        connection = sqlite3.connect(path, timeout=0, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            self._budget = Budget(connection, path)
            restrict(connection)
            _lock(connection)
            self._prepare(connection, self._budget)
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection, budget: Budget) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise self._newer()
        if version == 0 and is_empty(connection, budget):
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
        connection.execute("PRAGMA query_only = ON")
        check_database(connection, SCHEMA, budget)
        connection.execute("PRAGMA query_only = OFF")
        if has_backslashes():
            turn_backslashes(connection)

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._refused(error) from error
        except OSError as error:
            why = error.strerror or str(error)
            advice = f"Choose another folder with {option('output')}"
            raise self._unreachable(str(self.path.parent), why, advice) from error
        except BusyError as error:
            raise self._busy() from error
        except (sqlite3.Error, DamagedError, OverflowError) as error:
            raise self._damaged(error) from error

    def _refused(self, error: sqlite3.OperationalError) -> OutputError:
        """Return the error for a failure of SQLite; errors without a code are decoding errors."""
        match getattr(error, "sqlite_errorcode", None):
            case None:
                return self._damaged("a text in it is not UTF-8")
            case sqlite3.SQLITE_INTERRUPT:
                return self._damaged("a query does not end")
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return self._busy()
        elsewhere = f"choose another folder with {option('output')}"
        advice = f"Free some space, check its permissions or {elsewhere}"
        return self._unreachable(f"The journal {self.path}", str(error), advice)

    def _unreachable(self, target: str, why: str, advice: str) -> OutputError:
        if self._is_read_only:
            space = f"the free space in {tempfile.gettempdir()}, to which it is copied"
            return OutputError(
                f"The journal {self.path} cannot be read ({why}). Check its permissions and {space}"
            )
        return OutputError(f"{target} cannot be written ({why}). {advice}").about("output")

    def _busy(self) -> OutputError:
        advice = f"Another stem batch is writing to {self.folder}. Wait until it ends"
        if self._is_read_only:
            return OutputError(advice)
        elsewhere = f"choose another folder with {option('output')}"
        return OutputError(f"{advice}, or {elsewhere}").about("output")

    def _newer(self) -> OutputError:
        if self._is_read_only:
            return self._unusable("it was written by another version of Stem; update Stem")
        return OutputError(
            f"The journal {self.path} was written by another version of Stem. Update Stem, or "
            f"choose another folder with {option('output')}"
        ).about("output")

    def _damaged(self, why: object) -> OutputError:
        if self._is_read_only:
            return self._unusable(why)
        return OutputError(
            f"The journal {self.path} is damaged or cannot be used ({why}). Move it away and add "
            f"{setting(existing='skip')}, which keeps existing stems, or choose another folder "
            f"with {option('output')}"
        ).about("output")

    def _unusable(self, why: object) -> OutputError:
        return OutputError(
            f"The journal {self.path} cannot be used ({why}), so stems and songs in its folder "
            "cannot be distinguished. Move it away, and skip the stems with "
            f"{option('exclude')}"
        )


def _journal_of(folder: Path) -> Path:
    if not isinstance(folder, UrlPath):
        return folder / NAME
    key = hashlib.sha256(to_bytes(str(folder))).hexdigest()[:16]
    return zoo_home() / "journals" / f"{key}.sqlite"


def _lock(connection: sqlite3.Connection) -> None:
    """Take the lock, which is held until the connection or its process ends."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN EXCLUSIVE")


def _content(row: sqlite3.Row) -> Content:
    return Content(row["size"], row["mtime_ns"], row["sha256"])

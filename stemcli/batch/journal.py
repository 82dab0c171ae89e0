"""Records what was done in a folder of stems, in one SQLite file there.

Each song passes through three states. ``begun`` is recorded before any file is written. ``ready``
is recorded when all stems are complete under temporary names, with their hashes: from then on they
only have to be renamed, which the next run can do after a crash. ``done`` or ``failed`` says how
the song ended. So a run that is killed at any moment loses only the songs it was working on, and
no song is separated twice.
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
)
from stemcli.process import Closing
from stemcli.remote_path import UrlPath, as_path

NAME = ".stem-journal.sqlite"
"""In every folder of stems."""

VERSION = 1

SCHEMA = f"""
PRAGMA user_version = {VERSION};
CREATE TABLE song (
    place BLOB PRIMARY KEY,     -- below the input folder: folder/name.mp3
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

STORED_PATHS = (("song", "place"), ("output", "place"), ("output", "path"), ("output", "temporary"))
"""Tables and columns with paths below a folder."""


class Journal(Closing):
    """The journal of one folder; nobody else can use it until it is closed.

    The file is made with the first entry, so that a run that is refused leaves nothing.

    Args:
        folder: where the stems go; of one behind a URL the journal is kept on this machine.
        read_only: only look, without a lock and without changing any file, also while a run
            writes to the folder, after a power cut, or where the folder may not be written. What
            is read is a copy: the state at the moment when the journal was opened.

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
        with self._speaking():
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

    def find(self, place: str) -> JournalEntry | None:
        """The entry of the song at ``place``, if there is one."""
        rows = self._rows("SELECT * FROM song WHERE place = ?", stored(place))
        return self._entry(rows[0]) if rows else None

    def unfinished(self) -> dict[str, JournalEntry]:
        """Songs that a killed run was working on, by their places.

        Their files may safely be renamed or removed: none of them is outside the folder.
        """
        rows = self._rows("SELECT * FROM song WHERE state IN ('begun', 'ready')")
        entries = {spelled(row["place"]): self._entry(row) for row in rows}
        with self._speaking():
            for entry in entries.values():
                for file in entry.latest:
                    check_links(self.folder, file.path, file.temporary)
        return entries

    def stems(self) -> set[Path]:
        """All files that runs have written into the folder."""
        rows = self._rows("SELECT path FROM output WHERE sha256 != ''")
        return {self.folder / below(row["path"]) for row in rows}

    def songs(self) -> Iterator[tuple[Path, Path]]:
        """Every song: where it was read, and where it would lie in a folder that holds both."""
        for row in self._rows("SELECT source, place FROM song"):
            yield as_path(to_text(row["source"])), self.folder / spelled(row["place"])

    def begin(
        self, place: str, source: Path, content: Content, settings: str, paths: Iterable[Path]
    ) -> None:
        """Record which files are about to be made; files of earlier attempts stay recorded."""
        with self._writing() as database:
            database.execute(
                "INSERT INTO song VALUES (?, ?, ?, ?, ?, ?, 'begun', '', 1, 0, ?, 0, 0)"
                " ON CONFLICT (place) DO UPDATE SET source = excluded.source,"
                " size = excluded.size, mtime_ns = excluded.mtime_ns, sha256 = excluded.sha256,"
                " settings = excluded.settings, state = 'begun', message = '',"
                " attempts = attempts + 1, changed = excluded.changed",
                (stored(place), to_bytes(str(source)), *content, settings, time.time()),
            )
            database.executemany(
                "INSERT INTO output SELECT place, ?, attempts, x'', 0, 0, '' FROM song"
                " WHERE place = ?"
                " ON CONFLICT (place, path) DO UPDATE SET attempt = excluded.attempt",
                [(self._below(path), stored(place)) for path in paths],
            )

    def read(self, place: str, content: Content) -> None:
        """Record what is in the song, where it was begun before anybody had read it."""
        with self._writing() as database:
            database.execute(
                "UPDATE song SET size = ?, mtime_ns = ?, sha256 = ? WHERE place = ?",
                (*content, stored(place)),
            )

    def ready(self, place: str, made: Iterable[tuple[Path, Path, Content]]) -> None:
        """Record that all stems are complete: their temporary and final paths and their content."""
        rows = [
            (self._below(temporary), *content, stored(place), self._below(path))
            for temporary, path, content in made
        ]
        with self._writing() as database:
            database.executemany(
                "UPDATE output SET temporary = ?, size = ?, mtime_ns = ?, sha256 = ?"
                " WHERE place = ? AND path = ?",
                rows,
            )
            self._set(database, place, "ready")

    def done(self, place: str, audio_seconds: float = 0.0, wall_seconds: float = 0.0) -> None:
        """Record that all stems have their final names, and the times where they are known."""
        with self._writing() as database:
            database.execute(
                "UPDATE song SET audio_seconds = ?, wall_seconds = ?, finished = finished + 1"
                " WHERE place = ?",
                (audio_seconds, wall_seconds, stored(place)),
            )
            self._set(database, place, "done")

    def failed(self, place: str, message: str) -> None:
        """Record why there are no stems."""
        with self._writing() as database:
            self._set(database, place, "failed", message)

    def _set(
        self, database: sqlite3.Connection, place: str, state: State, message: str = ""
    ) -> None:
        printable = message[:MOST_TEXT].encode("utf-8", "backslashreplace").decode()
        database.execute(
            "UPDATE song SET state = ?, message = ?, changed = ? WHERE place = ?",
            (state, printable, time.time(), stored(place)),
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
        """Relative, so that the folder may be moved with its journal."""
        return stored(path.relative_to(self.folder))

    def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock, self._speaking():
            self._renew()
            return self._connection.execute(query, values).fetchall() if self._connection else []

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._speaking():
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
        """Open a copy; one that is damaged is made once more.

        File systems round the times of changes, so that a change during the copy may go unseen.
        """
        with ExitStack() as temporary:
            folder = Path(temporary.enter_context(tempfile.TemporaryDirectory(prefix="stem-")))
            try:
                self._connection = self._opened(settled_copy(self.path, folder))
            except (sqlite3.DatabaseError, DamagedError):
                self._connection = self._opened(settled_copy(self.path, folder))
            except FileNotFoundError:  # somebody has just removed it
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
            _turn_backslashes(connection)

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._refused(error) from error
        except OSError as error:
            why = error.strerror or str(error)
            advice = "Choose another folder with --output"
            raise self._unreachable(str(self.path.parent), why, advice) from error
        except BusyError as error:
            raise self._busy() from error
        except (sqlite3.Error, DamagedError, OverflowError) as error:
            raise self._damaged(error) from error

    def _refused(self, error: sqlite3.OperationalError) -> OutputError:
        """What SQLite could not do; without a code it is Python that cannot read a text."""
        match getattr(error, "sqlite_errorcode", None):
            case None:
                return self._damaged("a text in it is not UTF-8")
            case sqlite3.SQLITE_INTERRUPT:
                return self._damaged("a query does not end")
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return self._busy()
        advice = "Make room or check its rights, or choose another folder with --output"
        return self._unreachable(f"The journal {self.path}", str(error), advice)

    def _unreachable(self, what: str, why: str, advice: str) -> OutputError:
        if self._is_read_only:
            room = f"the free space in {tempfile.gettempdir()}, where it is copied to"
            return OutputError(
                f"The journal {self.path} cannot be read ({why}). Check its rights, and {room}"
            )
        return OutputError(f"{what} cannot be written ({why}). {advice}")

    def _busy(self) -> OutputError:
        found = f"Another stem batch is writing to {self.folder}. Wait for its end"
        elsewhere = "" if self._is_read_only else ", or choose another folder with --output"
        return OutputError(found + elsewhere)

    def _newer(self) -> OutputError:
        if self._is_read_only:
            return self._unusable("it was written by another version of Stem, so update Stem")
        return OutputError(
            f"The journal {self.path} was written by another version of stem. Update stem, or "
            "choose another folder with --output"
        )

    def _damaged(self, why: object) -> OutputError:
        if self._is_read_only:
            return self._unusable(why)
        return OutputError(
            f"The journal {self.path} is damaged or cannot be used ({why}). Move it away and "
            "type --skip-existing, which keeps the stems that are there, or choose another folder "
            "with --output"
        )

    def _unusable(self, why: object) -> OutputError:
        return OutputError(
            f"The journal {self.path} cannot be used ({why}), so the stems in its folder cannot be "
            "told from songs. Move it away, and leave the stems out with --exclude"
        )


def _journal_of(folder: Path) -> Path:
    if not isinstance(folder, UrlPath):
        return folder / NAME
    key = hashlib.sha256(to_bytes(str(folder))).hexdigest()[:16]
    return zoo_home() / "journals" / f"{key}.sqlite"


def _lock(connection: sqlite3.Connection) -> None:
    """Take the lock once; it is kept until the connection or its process ends."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN EXCLUSIVE")


def _turn_backslashes(connection: sqlite3.Connection) -> None:
    """Give paths that Stem once wrote on Windows their forward slashes."""
    for table, column in STORED_PATHS:
        connection.execute(
            f"UPDATE OR REPLACE {table} SET {column} = CAST(replace({column}, '\\', '/') AS BLOB)"
            f" WHERE instr({column}, x'5c')"
        )


def _content(row: sqlite3.Row) -> Content:
    return Content(row["size"], row["mtime_ns"], row["sha256"])

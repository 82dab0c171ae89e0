"""Checks that a journal was written by Stem, and copies journals for readers.

A folder of stems may come from an untrusted source, and so may its journal. SQLite also opens
malicious databases: with views, triggers or generated columns in place of tables, with pages that
refer to each other in loops, or with a rollback journal that names a file to delete. Rows may name
files outside the folder. The checks follow "Defense Against The Dark Arts" in SQLite's
documentation, https://www.sqlite.org/security.html.

SQLite keeps the old content of changed pages in a rollback journal beside the database until a
transaction is complete (https://www.sqlite.org/atomiccommit.html). Only both files together are a
valid database: SQLite rolls the unfinished transaction back when it opens them. For that it would
lock and change the files, which a reader must not do, so readers get a copy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path, PurePath
from typing import Any

from model_zoo.errors import UsageError
from stemcli.audio.formats import RULES
from stemcli.audio.writer import is_temporary_of
from stemcli.batch.records import OutsideError, below, to_text
from stemcli.engine.outputs import PICTURE_SUFFIX
from stemcli.remote_path import UrlPath, as_path

MOST_BYTES = 4 * 2**30
"""Largest journal in bytes; one of a million songs has about a quarter of that."""

MOST_VALUE = 1_000_000
"""Largest row in bytes."""

MOST_TEXT = 10_000
"""Longest message that says why a song failed, in characters."""

LONGEST_PATH = 3 * 32_767
"""Bytes in UTF-8 of the longest path of Windows; that of Linux has 4096."""

STEPS = 2**20
"""Instructions of SQLite's virtual machine that a query may take, plus one for each byte of the
file: a row of a hundred bytes takes about twenty."""

SCHEMA_STEPS = 10_000
"""The same for reading the schema, which has four rows."""

PACE = 1000
"""Instructions between two calls of SQLite's progress handler."""

SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")
"""The last bytes of a rollback journal that names a further file, which SQLite then deletes
(https://www.sqlite.org/fileformat.html, "The Rollback Journal")."""

LEGACY = b"\x01\x01"
"""Bytes 18 and 19 of a database without a write-ahead log, which Stem never asks for."""


class DamagedError(Exception):
    """The journal was not written by Stem; the message gives the reason."""


class Budget:
    """Stops a query that takes too many steps, such as one over pages that form a loop."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._most = self._left = STEPS + (path.stat().st_size if path.exists() else 0)
        connection.set_progress_handler(self._count, PACE)

    def renew(self) -> None:
        """Reset the count for the next query."""
        self._left = self._most

    @contextmanager
    def of(self, steps: int) -> Iterator[None]:
        """Allow fewer steps inside this context."""
        self._left = steps
        try:
            yield
        finally:
            self.renew()

    def _count(self) -> bool:
        self._left -= PACE
        return self._left < 0


def check_files(path: Path) -> None:
    """Check a journal and the files that SQLite keeps beside it, before SQLite opens them.

    Raises:
        DamagedError: a file is a link, a pipe or a folder, or has content that Stem never writes.
    """
    for end in ("-wal", "-shm"):
        if os.path.lexists(f"{path}{end}"):
            raise DamagedError(f"it has a {path.name}{end}, a file that Stem never writes")
    rollback = Path(f"{path}-journal")
    for file in (path, rollback):
        if os.path.lexists(file) and not stat.S_ISREG(file.lstat().st_mode):
            raise DamagedError(f"{file.name} is not a regular file")
    if rollback.exists() and _ends_in(rollback, SUPER_JOURNAL):
        raise DamagedError(f"{rollback.name} names another file to delete")
    if path.stat().st_size > MOST_BYTES:
        raise DamagedError(f"it has {path.stat().st_size:,} bytes")
    with path.open("rb") as database:
        versions = database.read(20)[18:]
    if versions and versions != LEGACY:
        raise DamagedError("it is not a database that Stem wrote")


def restrict(connection: sqlite3.Connection) -> None:
    """Make SQLite trust nothing in the file and refuse oversized rows."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        connection.execute(f"PRAGMA {setting}")


def check_database(connection: sqlite3.Connection, schema: str, budget: Budget) -> None:
    """Check the tables, the pages and every row of a journal.

    Args:
        connection: to the journal, with the exclusive lock.
        schema: the statements that create a journal.
        budget: that limits the queries of this connection.

    Raises:
        DamagedError: the journal is not one that Stem wrote.
        sqlite3.Error: SQLite finds it damaged.
    """
    with budget.of(SCHEMA_STEPS):
        found = _schema_of(connection)
    if found != _expected(schema):
        raise DamagedError("its tables are not those of a journal")
    (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if result != "ok":
        raise DamagedError(str(result))
    for table, check in (("song", check_song), ("output", check_output)):
        budget.renew()
        for row in connection.execute(f"SELECT * FROM {table}"):
            check(row)
    budget.renew()


def is_empty(connection: sqlite3.Connection, budget: Budget) -> bool:
    """Whether there is no table yet."""
    with budget.of(SCHEMA_STEPS):
        return not _schema_of(connection)


def check_song(row: sqlite3.Row) -> None:
    """Check the types and ranges of a row of the table ``song``.

    Raises:
        DamagedError: a value is wrong; the message names the first such column.
    """
    _check(row, SONG_RULES)


def check_output(row: sqlite3.Row) -> None:
    """Check a row of the table ``output``: both of its paths must be below the folder.

    Raises:
        DamagedError: a value has a wrong type, a path leaves the folder, or the temporary name is
            not one that Stem would have chosen for this file.
    """
    _check(row, OUTPUT_RULES)
    path = _below(row["path"])
    if path.suffix.lstrip(".").lower() not in RULES and path.suffix != PICTURE_SUFFIX:
        raise DamagedError(f"{path} is neither an audio file nor a picture")
    temporary = _below(row["temporary"]) if row["temporary"] else path
    if temporary != path and not is_temporary_of(temporary, path):
        raise DamagedError(f"{temporary} is not a temporary name of {path}")


def check_links(folder: Path, *paths: Path) -> None:
    """Check that paths below ``folder`` stay there when links are followed.

    ``folder`` itself may be a link, because the user chose it.

    Raises:
        DamagedError: a link leads out of the folder.
    """
    if isinstance(folder, UrlPath):
        return
    root = Path(os.path.realpath(folder))
    for path in paths:
        if not Path(os.path.realpath(path)).is_relative_to(root):
            raise DamagedError(f"{path} leads out of {folder}")


def _below(value: bytes) -> PurePath:
    """Decode a path and require that it stays below the folder of the journal.

    Raises:
        DamagedError: the path leaves the folder.
    """
    try:
        return below(value)
    except OutsideError as error:
        raise DamagedError(str(error)) from error


def _check(row: sqlite3.Row, rules: dict[str, Callable[[Any], bool]]) -> None:
    for column, is_valid in rules.items():
        if not is_valid(row[column]):
            raise DamagedError(f"{column} holds a value that Stem never writes there")


def _is_name(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) <= LONGEST_PATH


def _is_source(value: Any) -> bool:
    """Whether a value is the path or URL of a song; URLs with passwords are never stored."""
    try:
        return _is_name(value) and bool(as_path(to_text(value)))
    except (UsageError, ValueError):
        return False


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 2**62


def _is_whole_number(value: Any) -> bool:
    return isinstance(value, int)


def _is_time(value: Any) -> bool:
    return isinstance(value, float) and 0 <= value < 2**62


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_state(value: Any) -> bool:
    return value in ("begun", "ready", "done", "failed")


@lru_cache(maxsize=16)
def _are_settings(value: Any) -> bool:
    """Whether a value is JSON of settings; cached, because most songs have the same settings."""
    try:
        settings = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(settings, dict) and all(re.fullmatch(r"\w{0,40}", key) for key in settings)


_CONTENT = {"size": _is_count, "mtime_ns": _is_whole_number, "sha256": _is_text}
SONG_RULES: dict[str, Callable[[Any], bool]] = {
    "place": _is_name,
    "source": _is_source,
    **_CONTENT,
    "settings": _are_settings,
    "state": _is_state,
    "message": _is_text,
    "attempts": _is_count,
    "finished": _is_count,
    "changed": _is_time,
    "audio_seconds": _is_time,
    "wall_seconds": _is_time,
}
OUTPUT_RULES: dict[str, Callable[[Any], bool]] = {
    "place": _is_name,
    "path": _is_name,
    "attempt": _is_count,
    "temporary": _is_name,
    **_CONTENT,
}


def _schema_of(connection: sqlite3.Connection) -> set[tuple[str, str, str, str]]:
    """Kind, name, table and statement of all entries, without comments and spaces."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master LIMIT 9")
    return {(kind, name, table, _plain(sql)) for kind, name, table, sql in rows}


@cache
def _expected(schema: str) -> set[tuple[str, str, str, str]]:
    database = sqlite3.connect(":memory:")
    try:
        database.executescript(schema)
        return _schema_of(database)
    finally:
        database.close()


def _plain(statement: Any) -> str:
    return "".join(re.sub(r"--[^\n]*", "", str(statement or "")).split())


def _ends_in(path: Path, end: bytes) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(end)))
        return file.read() == end


TRIES = 20
PAUSE = 0.1
"""Seconds between two tries."""


class BusyError(Exception):
    """The journal changed during every attempt to copy it."""


def settled_copy(path: Path, folder: Path) -> Path:
    """Copy a journal and its rollback journal into ``folder``, both as of the same moment.

    Raises:
        DamagedError: a file was not written by Stem.
        BusyError: the files changed during every attempt.
        OSError: the files cannot be copied.
    """
    for _ in range(TRIES):
        check_files(path)
        before = _state(path)
        copy = _copied(path, folder)
        if _state(path) == before:
            return copy
        time.sleep(PAUSE)
    raise BusyError


def rollback_of(path: Path) -> Path:
    """Path of the file in which SQLite keeps the old content of changed pages."""
    return path.with_name(f"{path.name}-journal")


def _copied(path: Path, folder: Path) -> Path:
    copy = folder / path.name
    shutil.copyfile(path, copy)
    rollback_of(copy).unlink(missing_ok=True)
    with suppress(FileNotFoundError):  # it does not exist between transactions
        shutil.copyfile(rollback_of(path), rollback_of(copy))
    return copy


def _state(path: Path) -> list[tuple[int, int, int] | None]:
    """Inodes, sizes and times of the two files, which differ after any write."""
    return [_stamp(file) for file in (path, rollback_of(path))]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns

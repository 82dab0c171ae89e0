"""Malicious journals; each function writes one into the folder ``out``."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from stemcli.batch.journal import NAME, SCHEMA
from stemcli.batch.records import Content
from tests.hostile.table import USER, Row

BATCH = "batch songs --output out --model melroformer"
HIDDEN = ".thesis.0123abcd.part.wav"
"""Temporary name of a file thesis.wav while it is written."""

PAGE = 4096
"""Page size of a new database in bytes."""

FILE_SIZE = 2**40
"""Size in bytes of a sparse file."""


UNKNOWN = Content(1, 1, "0" * 64)


@contextmanager
def database(folder: Path, schema: str = SCHEMA) -> Iterator[sqlite3.Connection]:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    connection = sqlite3.connect(out / NAME)
    connection.executescript(schema)
    yield connection
    connection.commit()
    connection.close()


def add(
    connection: sqlite3.Connection,
    path: object,
    temporary: object,
    content: Content = UNKNOWN,
    **other: Any,
) -> None:
    """Add a song whose stems only need renaming."""
    song = {"settings": "{}", "state": "ready", "message": "", "attempts": 1, "source": b"/a.wav"}
    song |= {"size": 1, "mtime_ns": 1, "sha256": "0" * 64, "finished": 0, "changed": 0.0}
    song |= {"place": b"a.wav", "audio_seconds": 0.0, "wall_seconds": 0.0}
    song |= other
    output = {"place": b"a.wav", "path": path, "attempt": 1, "temporary": temporary}
    output |= content._asdict()
    for table, row in (("song", song), ("output", output)):
        marks = ", ".join(f":{key}" for key in row)
        connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", row)


def renames(path: str, temporary: str, folder: Path) -> None:
    """A row that would rename the attacker's file over one of the user's."""
    path, temporary = (text.format(user=folder / USER) for text in (path, temporary))
    out = folder / "out"
    out.mkdir()
    (out / "link").symlink_to(folder / USER)
    attackers_file = out / temporary
    if not attackers_file.exists():
        attackers_file.write_text("nothing but harm")
    with database(folder) as connection:
        add(connection, path.encode(), temporary.encode(), Content.of(attackers_file))


def row_of(folder: Path, **values: Any) -> None:
    """A row that is harmless except for these values."""
    with database(folder) as connection:
        path = values.pop("path", b"a/vocals.wav")
        add(connection, path, values.pop("temporary", b""), **values)


def endless_view(folder: Path) -> None:
    names = "place source size mtime_ns sha256 settings state message attempts finished changed"
    columns = ", ".join(f"n AS {name}" for name in f"{names} audio_seconds wall_seconds".split())
    view = (
        "CREATE VIEW song AS WITH RECURSIVE endless(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM"
        f" endless) SELECT {columns} FROM endless WHERE n < 0;"
    )
    schema = f"PRAGMA user_version = 1; {view}"
    with database(folder, schema) as connection:
        connection.executescript(SCHEMA[SCHEMA.index("CREATE TABLE output") :])


def altered(statement: str, folder: Path) -> None:
    """A journal whose schema was changed by an SQL statement."""
    with database(folder) as connection:
        connection.executescript(statement)


def replaced(table: str, statement: str, folder: Path) -> None:
    """A journal in which another object has the name of a table."""
    with database(folder) as connection:
        connection.executescript(f"DROP TABLE {table}; {statement}")


def many_tables(folder: Path) -> None:
    with database(folder) as connection:
        for number in range(20_000):
            connection.execute(f"CREATE TABLE t{number} (a)")


def circle(folder: Path) -> None:
    """A table whose interior page lists itself as children: endless rows."""
    with database(folder) as connection:
        for number in range(3000):
            place = b"%d.wav" % number
            row = {"place": place, "state": "begun"}
            connection.execute(
                "INSERT INTO song VALUES (:place, x'', 0, 0, '', '{}', :state, '', 1, 0, 0.0, 0.0,"
                " 0.0)",
                row,
            )
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'song'"
        ).fetchone()
    path = folder / "out" / NAME
    data = bytearray(path.read_bytes())
    at = (root - 1) * PAGE
    assert data[at] == 5, "an interior page of a table (fileformat.html, B-tree Pages)"
    (cells,) = struct.unpack_from(">H", data, at + 3)
    for cell in range(cells):
        (start,) = struct.unpack_from(">H", data, at + 12 + 2 * cell)
        struct.pack_into(">I", data, at + start, root)
    path.write_bytes(data)


def deletes(folder: Path) -> None:
    """A rollback journal with a user's file as its super-journal, which SQLite would delete."""
    with database(folder):
        pass
    path = folder / "out" / NAME
    pages, name = path.stat().st_size // PAGE, str(folder / USER / "thesis.wav").encode()
    magic, sector = bytes.fromhex("d9d505f920a163d7"), 512
    head = (magic + struct.pack(">IIIII", 0, 0, pages, sector, PAGE)).ljust(sector, b"\0")
    end = struct.pack(">I", 2**30 // PAGE + 1) + name
    end += struct.pack(">II", len(name), sum(name)) + magic
    Path(f"{path}-journal").write_bytes(head + end)


def in_wal_mode(folder: Path) -> None:
    with database(folder) as connection:
        connection.commit()
        connection.execute("PRAGMA journal_mode = WAL")


def instead(make: Callable[[Path], object], end: str, folder: Path) -> None:
    """Another kind of file under the name of the journal or of a file beside it."""
    if end:
        with database(folder):
            pass
    (folder / "out").mkdir(exist_ok=True)
    make(folder / "out" / f"{NAME}{end}")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"SQLite format 3\0" + struct.pack(">H", PAGE) + b"\1\1")
        file.truncate(FILE_SIZE)


def link(path: Path) -> None:
    path.symlink_to(path.parents[1] / USER / "thesis.wav")


DAMAGED = r"The journal .* is damaged .* Move it away and add --skip-existing"
USERS = "{user}/thesis.wav"
USERS_HIDDEN = "{user}/" + HIDDEN
GENERATED = (
    SCHEMA[SCHEMA.index("CREATE TABLE song") : SCHEMA.index("CREATE TABLE output")]
    .replace("place BLOB PRIMARY KEY", "place BLOB PRIMARY KEY, x BLOB AS (zeroblob(9))")
    .replace("message TEXT NOT NULL", "message TEXT NOT NULL DEFAULT (randomblob(9))")
)
TRIGGER = "CREATE TRIGGER t AFTER UPDATE ON song BEGIN DELETE FROM output; END;"

JOURNALS = [
    Row(f"a journal {kind}", make, BATCH, DAMAGED, slow="20,000" in kind or "50 MB" in kind)
    for kind, make in {
        "that renames to an absolute path": partial(renames, USERS, "x.part.wav"),
        "that renames to a hidden absolute path": partial(renames, USERS, USERS_HIDDEN),
        "that renames above its folder": partial(renames, "../user/thesis.wav", HIDDEN),
        "that renames through a link": partial(renames, "link/thesis.wav", f"link/{HIDDEN}"),
        "that takes a file away": partial(renames, "thesis.wav", USERS),
        "that takes a file away by ..": partial(renames, "thesis.wav", "../user/thesis.wav"),
        "that takes a file away by a link": partial(renames, "thesis.wav", "link/thesis.wav"),
        "that renames another file": partial(renames, "thesis.wav", ".other.0123abcd.part.wav"),
        "that renames to a script": partial(renames, ".profile", "..profile.0123abcd.part"),
        "whose table is an endless view": endless_view,
        "with a trigger": partial(altered, TRIGGER),
        "with an index over an expression": partial(altered, "CREATE INDEX i ON song (size * 2)"),
        "with a generated column": partial(replaced, "song", GENERATED),
        "with a virtual table": partial(
            replaced, "output", "CREATE VIRTUAL TABLE output USING fts4(place, path)"
        ),
        "with 20,000 tables": many_tables,
        "with a value of 50 MB": partial(row_of, settings="[" + "1," * 25_000_000 + "1]"),
        "with settings nested without end": partial(row_of, settings="[" * 100_000),
        "with a number where a path should be": partial(row_of, path=7),
        "with text where a number should be": partial(row_of, attempts="many", state="done"),
        "with a zero in a path": partial(row_of, path=b"a\0/vocals.wav"),
        "with a password in an address": partial(row_of, source=b"http://me:secret@host/a.wav"),
        "with an unknown state": partial(row_of, state="\x1b[2J"),
        "whose pages go round in a circle": circle,
        "with a rollback journal that deletes a file": deletes,
        "with a write-ahead log": in_wal_mode,
        "with a pipe for a rollback journal": partial(instead, os.mkfifo, "-journal"),
        "with a link for a rollback journal": partial(instead, link, "-journal"),
        "that is a pipe": partial(instead, os.mkfifo, ""),
        "that is a folder": partial(instead, Path.mkdir, ""),
        "that is a link": partial(instead, link, ""),
        "of a terabyte": partial(instead, sparse, ""),
    }.items()
]

READ = {
    "a journal whose table is an endless view",
    "a journal whose pages go round in a circle",
    "a journal with a rollback journal that deletes a file",
    "a journal with a pipe for a rollback journal",
    "a journal with a link for a rollback journal",
    "a journal that is a pipe",
    "a journal that is a folder",
    "a journal that is a link",
    "a journal of a terabyte",
}
"""Kinds that are also dangerous to read."""

r"""Paths in a journal, read on Linux and on Windows.

Reference: how pathlib splits paths of either system; the naming rules of Windows
(https://learn.microsoft.com/windows/win32/fileio/naming-a-file); PEP 383 for undecodable bytes.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.errors import OutputError
from stemcli.batch import records
from stemcli.batch.journal import NAME, Journal
from stemcli.batch.records import Content, OutsideError, below, spelled, stored, to_bytes, to_text

SONG = Content(3, 4, "5" * 64)
PLACE, STEM, TEMPORARY = "x\\a.mp3", "x\\a\\vocals.wav", "x\\a\\.vocals.0123abcd.part.wav"

PARTS = st.text(st.characters(exclude_characters='/\\:\0<>"|?*', exclude_categories=["Cs", "Cc"]))
NAMES = PARTS.filter(lambda part: part.strip(". ") != "")


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split paths as on Windows."""
    monkeypatch.setattr(records, "LOCAL", PureWindowsPath)


@pytest.mark.parametrize("system", [PurePosixPath, PureWindowsPath])
@given(parts=st.lists(NAMES, min_size=1, max_size=4))
def test_all_systems_store_the_same_bytes(system: type[PurePath], parts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "LOCAL", system)
        value = stored(system(*parts))
        assert value == "/".join(parts).encode()
        assert below(value) == system(*parts)
        assert spelled(value) == str(system(*parts))
        assert stored(str(system(*parts))) == value


def test_a_backslash_is_a_normal_character_outside_windows() -> None:
    assert below(stored(PurePosixPath("AC\\DC/a.wav"))).parts == ("AC\\DC", "a.wav")


@pytest.mark.parametrize(
    "value",
    [
        *(b"/etc/a.wav", b"../a.wav", b"a/../../b.wav", b"", b".", b"a\0.wav"),
        *(b"C:a.wav", b"C:\\a.wav", b"C:/a.wav", b"\\a.wav", b"\\\\host\\share\\a.wav", b"//h/s/a"),
        *(b"..\\a.wav", b"a\\..\\..\\b.wav", b"a.wav:stream", b".. /a.wav", b"a/. . /b.wav"),
        b"\\\\?\\C:\\a.wav",
    ],
)
@pytest.mark.usefixtures("windows")
def test_paths_outside_the_folder_are_refused_on_windows(value: bytes) -> None:
    with pytest.raises(OutsideError, match="not a path below its folder"):
        below(value)


@pytest.mark.parametrize(
    "value", [b"/etc/a.wav", b"../a.wav", b"a/../b.wav", b"", b".", b"a\0.wav"]
)
def test_paths_outside_the_folder_are_refused(value: bytes) -> None:
    with pytest.raises(OutsideError, match="not a path below its folder"):
        below(value)


def test_names_outside_the_filesystem_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: Latin-1 lacks the clef, UTF-8 needs four bytes; \\xe9 alone is invalid UTF-8."""
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode("latin-1"))
    assert to_bytes("\N{MUSICAL SYMBOL G CLEF}.wav") == b"\xf0\x9d\x84\x9e.wav"
    monkeypatch.setattr(os, "fsdecode", lambda value: value.decode("utf-8", "surrogatepass"))
    assert to_text(b"caf\xe9.wav") == "caf\udce9.wav"


@pytest.mark.usefixtures("windows")
def test_a_second_run_on_windows_reads_what_the_first_wrote(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.begin(PLACE, Path("/x/a.mp3"), SONG, "{}", [tmp_path / "x/a/vocals.wav"])
        temporary = tmp_path / "x/a/.vocals.0123abcd.part.wav"
        journal.ready(PLACE, [(temporary, tmp_path / "x/a/vocals.wav", SONG)])
    assert stored_rows(tmp_path) == [
        (b"x/a.mp3", b"x/a/vocals.wav", TEMPORARY.replace("\\", "/").encode())
    ]
    with Journal(tmp_path) as journal:
        assert [*journal.unfinished()] == [PLACE]
        journal.done(PLACE)
        assert journal.find(PLACE) is not None


@pytest.mark.usefixtures("windows")
def test_a_journal_with_backslashes_is_read_on_windows(tmp_path: Path) -> None:
    """Older versions of Stem wrote backslashes on Windows."""
    write_rows(tmp_path, PLACE.encode(), STEM.encode(), TEMPORARY.encode())
    with Journal(tmp_path) as journal:
        entry = journal.find(PLACE)
        assert entry is not None
        (output,) = entry.latest
        assert output.path == tmp_path / "x/a/vocals.wav"
        assert output.temporary == tmp_path / "x/a/.vocals.0123abcd.part.wav"
    assert stored_rows(tmp_path) == [
        (b"x/a.mp3", b"x/a/vocals.wav", TEMPORARY.replace("\\", "/").encode())
    ]


def test_a_backslash_in_a_name_survives_a_second_run(tmp_path: Path) -> None:
    stem = tmp_path / "AC\\DC/vocals.wav"
    with Journal(tmp_path) as journal:
        journal.begin("AC\\DC.mp3", Path("/a.mp3"), SONG, "{}", [stem])
        journal.ready("AC\\DC.mp3", [(stem, stem, SONG)])
    with Journal(tmp_path) as journal:
        assert [output.path for output in journal.unfinished()["AC\\DC.mp3"].latest] == [stem]


@pytest.mark.usefixtures("windows")
def test_an_undecodable_name_does_not_end_a_run_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows decodes names strictly; the journal may have been written on Linux."""
    write_rows(tmp_path, b"caf\xe9.mp3", b"caf\xe9/vocals.wav", b"")
    monkeypatch.setattr(os, "fsdecode", lambda value: value.decode("utf-8", "surrogatepass"))
    with Journal(tmp_path) as journal:
        assert [*journal.unfinished()] == ["caf\udce9.mp3"]
        assert journal.find("a.mp3") is None


@pytest.mark.parametrize("column", ["message", "sha256", "settings"])
def test_a_column_with_invalid_utf8_counts_as_damage(tmp_path: Path, column: str) -> None:
    write_rows(tmp_path, b"a.mp3", b"a/vocals.wav", b"")
    with sqlite3.connect(tmp_path / NAME) as database:
        database.execute(f"UPDATE song SET {column} = CAST(x'ff' AS TEXT)")
    database.close()
    with pytest.raises(OutputError, match=r"is damaged .*not UTF-8.* Move it away"):
        Journal(tmp_path)


def write_rows(folder: Path, place: bytes, path: bytes, temporary: bytes) -> None:
    """Write the rows of a song whose stems only need renaming."""
    with Journal(folder) as journal:
        journal.begin("a.mp3", Path("/a.mp3"), SONG, "{}", [folder / "a/vocals.wav"])
    with sqlite3.connect(folder / NAME) as database:
        database.execute("UPDATE song SET place = ?, state = 'ready'", (place,))
        row = (place, path, temporary, SONG.sha256)
        database.execute("UPDATE output SET place = ?, path = ?, temporary = ?, sha256 = ?", row)
    database.close()


def stored_rows(folder: Path) -> list[tuple[bytes, bytes, bytes]]:
    with sqlite3.connect(folder / NAME) as database:
        rows = database.execute("SELECT place, path, temporary FROM output").fetchall()
    database.close()
    return rows

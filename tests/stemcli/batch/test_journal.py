"""The journal of an output folder: entries are read back as written, and it is locked."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from model_zoo.errors import OutputError
from stemcli.batch.journal import NAME, Journal
from stemcli.batch.records import Content

SONG = Content(3, 4, "5" * 64)


def open_with_entry(folder: Path, place: str = "x/a.mp3") -> Journal:
    journal = Journal(folder)
    journal.begin(place, Path("/music/x/a.mp3"), SONG, "{}", [folder / "x/a/vocals.wav"])
    return journal


def test_an_empty_journal_writes_no_file(tmp_path: Path) -> None:
    with Journal(tmp_path / "out") as journal:
        assert journal.find("a.mp3") is None
        assert journal.unfinished() == {}
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("place", ["x/a.mp3", "bad \udce9 byte.mp3", "new\nline \N{GUITAR}.mp3"])
def test_entries_are_read_by_the_next_run(place: str, tmp_path: Path) -> None:
    temporary, stem = tmp_path / "x/a/.vocals.0123abcd.part.wav", tmp_path / "x/a/vocals.wav"
    with open_with_entry(tmp_path, place) as journal:
        assert [*journal.unfinished()] == [place]
        journal.ready(place, [(temporary, stem, SONG)])
    with Journal(tmp_path) as journal:
        entry = journal.unfinished()[place]
        assert (entry.state, entry.attempts, entry.finished) == ("ready", 1, 0)
        (output,) = entry.latest
        assert (output.path, output.temporary, output.content) == (stem, temporary, SONG)
        journal.done(place, 10.0, 2.0)
        assert journal.unfinished() == {}
    with Journal(tmp_path) as journal:
        entry = journal.find(place)
        assert entry is not None
        assert (entry.source, entry.content, entry.settings) == (Path("/music/x/a.mp3"), SONG, "{}")
        assert (entry.state, entry.finished, entry.audio_seconds) == ("done", 1, 10.0)


def test_a_new_attempt_remembers_the_files_of_the_old_one(tmp_path: Path) -> None:
    wav, flac = tmp_path / "x/a/vocals.wav", tmp_path / "x/a/vocals.flac"
    with open_with_entry(tmp_path) as journal:
        journal.ready("x/a.mp3", [(wav, wav, SONG)])
        journal.done("x/a.mp3")
        journal.begin("x/a.mp3", Path("/a"), SONG, "{}", [flac])
        entry = journal.find("x/a.mp3")
    assert entry is not None
    assert (entry.attempts, [file.path for file in entry.latest]) == (2, [flac])
    assert entry.outputs[wav].content == SONG
    assert entry.outputs[flac].content is None


def test_failures_keep_their_message(tmp_path: Path) -> None:
    with open_with_entry(tmp_path) as journal:
        journal.failed("x/a.mp3", "caf\udce9.mp3 is damaged")
        entry = journal.find("x/a.mp3")
    assert entry is not None
    assert (entry.state, entry.message) == ("failed", "caf\\udce9.mp3 is damaged")


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with (
        open_with_entry(tmp_path),
        pytest.raises(OutputError, match="Another stem batch is writing to"),
    ):
        Journal(tmp_path)
    Journal(tmp_path).close()


def test_a_damaged_journal_is_reported(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no database " * 100)
    with pytest.raises(OutputError, match=r"is damaged .* Move it away and add existing='skip'"):
        Journal(tmp_path)


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    open_with_entry(tmp_path).close()
    with sqlite3.connect(tmp_path / NAME) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(OutputError, match="written by another version of Stem"):
        Journal(tmp_path)


def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file cannot be written \(File exists\)\. Choose"):
        open_with_entry(tmp_path / "file")


def test_content_is_recognized_by_time_or_hash(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    content = Content.of(file, synced=True)
    assert content.is_in(file)
    os.utime(file, ns=(0, 0))
    assert content.is_in(file)
    file.write_text("two")
    assert not content.is_in(file)
    file.write_text("longer")
    assert not content.is_in(file)
    assert not Content.of_readable(tmp_path / "none").is_in(tmp_path / "none")

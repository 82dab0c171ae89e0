"""Finding the songs of a folder. Expected: the files that each test writes itself."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path, PurePosixPath
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.errors import OutputError, UsageError
from stemcli.batch import journal_checks
from stemcli.batch.journal import NAME, Journal
from stemcli.batch.library import LibraryScan, find_songs, require_songs
from stemcli.batch.patterns import matches
from stemcli.batch.records import Content
from stemcli.remote_path import folded
from tests.stemcli.batch.fake import make_songs


def song_names(scan: LibraryScan) -> list[str]:
    return [(song.folder / song.path.name).as_posix() for song in scan.songs]


def test_subfolders_are_scanned_in_path_order(tmp_path: Path) -> None:
    make_songs(tmp_path, "b/2.mp3", "b/10.mp3", "a.wav", "b/c/x.FLAC")
    scan = find_songs(tmp_path)
    assert song_names(scan) == ["a.wav", "b/10.mp3", "b/2.mp3", "b/c/x.FLAC"]
    assert scan.songs[-1].folder == Path("b/c")
    assert scan.songs[-1].path == tmp_path / "b/c/x.FLAC"


def test_a_scan_without_subfolders(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav", "b/c.wav")
    assert song_names(find_songs(tmp_path, recursive=False)) == ["a.wav"]


def test_files_that_are_no_songs_are_counted(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav", ".b.wav", ".git/c.wav", "cover.jpg", "notes", "Live/d.wav")
    scan = find_songs(tmp_path, exclude=["Live"])
    assert song_names(scan) == ["a.wav"]
    assert (scan.hidden, scan.other, scan.excluded) == (2, 2, 1)


def test_each_song_is_found_once_despite_circular_links(tmp_path: Path) -> None:
    make_songs(tmp_path, "a/one.wav", "b/two.wav")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "a/b").symlink_to(tmp_path / "b")
    (tmp_path / "b/a").symlink_to(tmp_path / "a")
    assert song_names(find_songs(tmp_path)) == ["a/one.wav", "b/two.wav"]


def test_links_to_other_folders_are_followed(tmp_path: Path) -> None:
    make_songs(tmp_path, "elsewhere/one.wav", "music/two.wav")
    (tmp_path / "music/more").symlink_to(tmp_path / "elsewhere")
    assert song_names(find_songs(tmp_path / "music")) == ["two.wav", "more/one.wav"]


def test_the_output_folder_is_skipped(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav", "separated/a/vocals.wav")
    assert song_names(find_songs(tmp_path, output=tmp_path / "separated")) == ["a.wav"]


def test_stems_in_other_output_folders_are_skipped(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav", "old/a/vocals.wav")
    write_journal(tmp_path / "old", tmp_path / "a.wav", "a/vocals.wav")
    scan = find_songs(tmp_path)
    assert song_names(scan) == ["a.wav"]
    assert (scan.outputs, scan.stems) == (1, 0)
    assert song_names(find_songs(tmp_path / "old")) == ["a/vocals.wav"]  # given by the user


def write_journal(folder: Path, song: Path, *stems: str) -> None:
    """Write a journal in which a song has these stems, and another that was only planned."""
    content = Content(1, 1, "0" * 64)
    paths = [folder / stem for stem in stems]
    with Journal(folder) as journal:
        journal.begin("a.wav", song, content, "{}", [*paths, folder / "planned.wav"])
        journal.ready("a.wav", [(path, path, content) for path in paths])
        journal.done("a.wav")


def test_stems_beside_their_song_are_not_songs(tmp_path: Path) -> None:
    """A file that no run wrote is a song, even if a failed run had planned to write it."""
    make_songs(tmp_path, "a.wav", "a/vocals.wav", "planned.wav", "new/b.wav", "new/b/vocals.wav")
    write_journal(tmp_path, tmp_path / "a.wav", "a/vocals.wav")
    scan = find_songs(tmp_path, output=tmp_path / "elsewhere")
    assert song_names(scan) == ["a.wav", "planned.wav", "new/b.wav", "new/b/vocals.wav"]
    assert (scan.stems, scan.outputs) == (1, 0)
    assert "a/vocals.wav" in song_names(find_songs(tmp_path, stems_too=True))


def test_a_subfolder_with_songs_and_their_stems(tmp_path: Path) -> None:
    """Also when it was moved, so that songs are recognized only by their place in the folder."""
    make_songs(tmp_path, "x/a.wav", "x/a/vocals.wav", "b.wav")
    write_journal(tmp_path / "x", Path("/before/x/a.wav"), "a/vocals.wav")
    scan = find_songs(tmp_path)
    assert (song_names(scan), scan.stems, scan.outputs) == (["b.wav", "x/a.wav"], 1, 0)


def test_reading_the_journal_of_a_running_batch_does_not_change_it(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav", "a/vocals.wav")
    write_journal(tmp_path, tmp_path / "a.wav", "a/vocals.wav")
    before = (tmp_path / NAME).read_bytes()
    with Journal(tmp_path):
        assert song_names(find_songs(tmp_path)) == ["a.wav"]
    assert (tmp_path / NAME).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "a", "a.wav"}


@contextmanager
def spilled_transaction(folder: Path) -> Iterator[None]:
    """An open transaction that SQLite has partly written to disk because its cache is small."""
    database = sqlite3.connect(folder / NAME)
    rows = ((b"%d.wav" % (number * 7919 % 3001),) for number in range(300))  # not in order
    database.executemany("INSERT INTO output VALUES (x'78', ?, 1, x'', 0, 0, '')", rows)
    database.commit()
    database.execute("PRAGMA cache_size = 2")  # pages
    database.execute("BEGIN EXCLUSIVE")
    database.execute("UPDATE output SET temporary = zeroblob(900)")
    try:
        yield
    finally:
        database.close()


def immutable_check(folder: Path) -> str:
    """SQLite's quick check of a database without its rollback journal."""
    database = sqlite3.connect(f"{(folder / NAME).as_uri()}?immutable=1", uri=True)
    try:
        return str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error)
    finally:
        database.close()


def test_an_open_transaction_is_ignored_when_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only committed rows count; read without the rollback journal, the database is damaged."""
    make_songs(tmp_path, "a.wav", "a/vocals.wav", "1.wav")
    write_journal(tmp_path, tmp_path / "a.wav", "a/vocals.wav")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with spilled_transaction(tmp_path):
        assert immutable_check(tmp_path) != "ok"
        before = contents(tmp_path)
        scan = find_songs(tmp_path, output=tmp_path)
        assert (song_names(scan), scan.stems) == (["1.wav", "a.wav"], 1)
        assert contents(tmp_path) == before
    assert [*(tmp_path / "temporary").iterdir()] == []


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_power_cut_during_a_transaction(tmp_path: Path) -> None:
    """A copy of the files stands for a power cut; reading it does not prevent resuming."""
    music = tmp_path / "music"
    make_songs(music, "a.wav", "a/vocals.wav")
    write_journal(music, music / "a.wav", "a/vocals.wav")
    with spilled_transaction(music):
        shutil.copytree(music, tmp_path / "cut")
    cut = tmp_path / "cut"
    before = contents(cut)
    assert f"{NAME}-journal" in before
    assert song_names(find_songs(cut, output=cut)) == ["a.wav"]
    assert contents(cut) == before
    with Journal(cut) as journal:
        assert journal.stems() == {cut / "a/vocals.wav"}


def test_a_power_cut_while_the_journal_was_created(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav")
    (tmp_path / NAME).touch()
    (tmp_path / f"{NAME}-journal").write_bytes(bytes(512))
    assert song_names(find_songs(tmp_path)) == ["a.wav"]


def test_a_commit_while_the_journal_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stems of that commit are found, because the copy is repeated."""
    make_songs(tmp_path, "a.wav", "a/vocals.wav", "b.wav", "b/vocals.wav")
    write_journal(tmp_path, tmp_path / "a.wav", "a/vocals.wav")
    original, copied = shutil.copyfile, list[Path]()

    def copyfile(source: Path, target: Path) -> None:
        original(source, target)
        if not copied:
            copied.append(source)
            write_journal(tmp_path, tmp_path / "b.wav", "b/vocals.wav")

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    scan = find_songs(tmp_path)
    assert (song_names(scan), scan.stems) == (["a.wav", "b.wav"], 2)


def test_a_journal_that_keeps_changing_is_not_reported_as_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_songs(tmp_path, "a.wav")
    write_journal(tmp_path, tmp_path / "a.wav")
    original, times = shutil.copyfile, count()

    def copyfile(source: Path, target: Path) -> None:
        original(source, target)
        os.utime(tmp_path / NAME, ns=(0, next(times)))

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    monkeypatch.setattr(journal_checks, "PAUSE", 0)
    with pytest.raises(
        OutputError, match=r"Another stem batch is writing to .*\. Wait until it ends"
    ):
        find_songs(tmp_path)


def test_a_journal_that_vanishes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_songs(tmp_path, "a.wav", "a/vocals.wav")
    write_journal(tmp_path, tmp_path / "a.wav", "a/vocals.wav")
    original = os.path.lexists

    def lexists(path: Path) -> bool:
        exists = original(path)
        if Path(path).name == NAME:
            Path(path).unlink(missing_ok=True)
        return exists

    monkeypatch.setattr(os.path, "lexists", lexists)
    assert song_names(find_songs(tmp_path)) == ["a.wav", "a/vocals.wav"]


def test_an_unreadable_journal_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_songs(tmp_path, "a.wav")
    write_journal(tmp_path, tmp_path / "a.wav")

    def refuse(path: Path, **_: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "lstat", refuse)
    with pytest.raises(
        OutputError, match=r"cannot be read \(Permission denied\)\. Check its permissions"
    ):
        find_songs(tmp_path)


def test_a_damaged_journal_in_the_input_folder_is_an_error(tmp_path: Path) -> None:
    """The advice must not be ``output``: another output folder would not avoid this journal."""
    make_songs(tmp_path, "b.wav")
    (tmp_path / NAME).write_text("no database " * 99)
    for output in (tmp_path, tmp_path / "other"):
        with pytest.raises(
            OutputError, match=r"cannot be used .* Move it away, and skip"
        ) as caught:
            find_songs(tmp_path, output=output)
        assert "output" not in str(caught.value)
    (tmp_path / NAME).rename(tmp_path / "away")
    assert song_names(find_songs(tmp_path)) == ["b.wav"]


def test_a_journal_of_another_version_in_the_input_folder_is_an_error(tmp_path: Path) -> None:
    make_songs(tmp_path, "b.wav")
    write_journal(tmp_path, tmp_path / "b.wav")
    with sqlite3.connect(tmp_path / NAME) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(OutputError, match=r"another version of Stem; update .* Move it away"):
        find_songs(tmp_path)


def test_a_damaged_journal_in_a_subfolder_is_reported(tmp_path: Path) -> None:
    """Its folder is reported as unclear, not counted as an output folder."""
    make_songs(tmp_path, "a.wav", "x/y/b.wav")
    (tmp_path / "x/y" / NAME).write_text("no database " * 99)
    scan = find_songs(tmp_path)
    assert (song_names(scan), scan.outputs, [*scan.unclear]) == (["a.wav"], 0, [Path("x/y")])
    assert "Move it away, and skip" in scan.unclear[Path("x/y")]
    assert find_songs(tmp_path, exclude=["y"]).unclear == {}
    require_songs(find_songs(tmp_path, exclude=["a.wav"]), tmp_path)


def test_an_output_folder_that_is_the_input_is_scanned(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav")
    assert song_names(find_songs(tmp_path, output=tmp_path)) == ["a.wav"]


def test_an_unreadable_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_songs(tmp_path, "a.wav", "locked/b.wav")
    original = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    scan = find_songs(tmp_path)
    assert (song_names(scan), scan.unreadable) == (["a.wav"], [tmp_path / "locked"])


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.flac", "x/a.flac", True),
        ("*.FLAC", "x/a.flac", True),
        ("*.mp3", "x/a.flac", False),
        ("Abbey Road", "Abbey Road/1/a.mp3", True),
        ("*[live]*", "Song [live].mp3", True),
        ("*[live]*", "evil.mp3", False),
        ("a/*.mp3", "a/b.mp3", True),
        ("a/*.mp3", "a/b/c.mp3", False),
        ("a/**/*.mp3", "a/b/c.mp3", True),
        ("a/**/*.mp3", "a/c.mp3", True),
        ("a/**", "a/b/c.mp3", True),
        ("tr?ck.mp3", "track.mp3", True),
        ("niño*", unicodedata.normalize("NFD", "Niño.mp3"), True),
        ("(a|b).mp3", "a.mp3", False),
    ],
)
def test_patterns_by_hand(pattern: str, path: str, expected: bool) -> None:
    assert matches(pattern, PurePosixPath(path)) is expected


names = st.text(st.characters(codec="utf-8", exclude_characters="/*?\0"), min_size=1).filter(
    lambda name: name.strip(".")
)


@given(names)
def test_a_name_without_wildcards_matches_itself(name: str) -> None:
    assert matches(name, PurePosixPath("folder") / name)


@given(st.text(st.characters(codec="utf-8")))
def test_folding_is_idempotent(name: str) -> None:
    assert folded(folded(name)) == folded(name)


def test_patterns_that_match_nothing(tmp_path: Path) -> None:
    make_songs(tmp_path, "a1.flac", "Live/c.flac")
    scan = find_songs(tmp_path, include=["*.flac", "b*"], exclude=["a[12]*", "live", "b*"])
    assert (song_names(scan), scan.unmatched) == (["a1.flac"], ["b*", "a[12]*"])


def test_include_and_exclude_together(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.flac", "b.mp3", "Live/c.flac")
    scan = find_songs(tmp_path, include=["*.flac"], exclude=["live"])
    assert (song_names(scan), scan.excluded) == (["a.flac"], 2)


@pytest.mark.parametrize(
    ("name", "advice"), [("nowhere", "stem batch FOLDER"), ("file.mp3", "stem separate .*file.mp3")]
)
def test_a_path_that_is_not_a_folder_is_refused(tmp_path: Path, name: str, advice: str) -> None:
    make_songs(tmp_path, "file.mp3")
    with pytest.raises(UsageError, match=advice):
        find_songs(tmp_path / name)


def test_a_folder_without_songs_is_reported_with_its_content(tmp_path: Path) -> None:
    make_songs(tmp_path, "cover.jpg", ".DS_Store")
    with pytest.raises(UsageError, match=r"no song in .*1 not audio, 1 hidden"):
        require_songs(find_songs(tmp_path), tmp_path)


def test_typescript_files_are_not_songs(tmp_path: Path) -> None:
    """TypeScript shares its extension with transport streams, which have 0x47 every 188 bytes."""
    make_songs(tmp_path, "song.m4r", "game.DSF", "speech.spx", "film.flv", "old.mpeg")
    (tmp_path / "index.ts").write_text("export const song: string = 'la';\n" * 99)
    (tmp_path / "record.ts").write_bytes(50 * (b"\x47" + bytes(187)))
    scan = find_songs(tmp_path)
    assert song_names(scan) == [
        *("film.flv", "game.DSF", "old.mpeg", "record.ts", "song.m4r", "speech.spx"),
    ]
    assert scan.other == 1


def test_a_named_pipe_does_not_block_the_scan(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "song.ts")
    assert song_names(find_songs(tmp_path)) == ["song.ts"]

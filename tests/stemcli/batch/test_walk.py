"""Which files of a folder are songs; every expectation is the tree that the test itself made."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo.errors import OutputError, UsageError
from stemcli.batch.content import Content
from stemcli.batch.journal import NAME, Journal
from stemcli.batch.url_path import folded
from stemcli.batch.walk import Found, find_songs, matches, require_songs
from tests.stemcli.batch.fake import make_songs


def places(found: Found) -> list[str]:
    return [(song.folder / song.path.name).as_posix() for song in found.songs]


def test_mirrors_sub_folders_in_the_order_of_paths(tmp_path: Path) -> None:
    make_songs(tmp_path, "b/2.mp3", "b/10.mp3", "a.wav", "b/c/x.FLAC")
    found = find_songs(tmp_path)
    assert places(found) == ["a.wav", "b/10.mp3", "b/2.mp3", "b/c/x.FLAC"]
    assert found.songs[-1].folder == Path("b/c")
    assert found.songs[-1].path == tmp_path / "b/c/x.FLAC"


def test_stays_in_the_folder_when_asked(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav", "b/c.wav")
    assert places(find_songs(tmp_path, recursive=False)) == ["a.wav"]


def test_counts_what_it_passes_over(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav", ".b.wav", ".git/c.wav", "cover.jpg", "notes", "Live/d.wav")
    found = find_songs(tmp_path, exclude=["Live"])
    assert places(found) == ["a.wav"]
    assert (found.hidden, found.other, found.excluded) == (2, 2, 1)


def test_a_loop_of_links_ends_and_each_song_is_found_once(tmp_path: Path) -> None:
    make_songs(tmp_path, "a/one.wav", "b/two.wav")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "a/b").symlink_to(tmp_path / "b")
    (tmp_path / "b/a").symlink_to(tmp_path / "a")
    assert places(find_songs(tmp_path)) == ["a/one.wav", "b/two.wav"]


def test_follows_a_link_to_a_folder_elsewhere(tmp_path: Path) -> None:
    make_songs(tmp_path, "elsewhere/one.wav", "music/two.wav")
    (tmp_path / "music/more").symlink_to(tmp_path / "elsewhere")
    assert places(find_songs(tmp_path / "music")) == ["two.wav", "more/one.wav"]


def test_passes_over_an_output_folder_inside(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav", "separated/a/vocals.wav")
    assert places(find_songs(tmp_path, output=tmp_path / "separated")) == ["a.wav"]


def test_passes_over_the_stems_of_runs_into_other_folders(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav", "old/a/vocals.wav")
    journal_of(tmp_path / "old", tmp_path / "a.wav", "a/vocals.wav")
    found = find_songs(tmp_path)
    assert places(found) == ["a.wav"]
    assert (found.outputs, found.stems) == (1, 0)
    assert places(find_songs(tmp_path / "old")) == ["a/vocals.wav"]  # named on purpose


def journal_of(folder: Path, song: Path, *stems: str) -> None:
    """Note that these stems were made of a song, and that it was to have another one."""
    content = Content(1, 1, "0" * 64)
    paths = [folder / stem for stem in stems]
    with Journal(folder) as journal:
        journal.begin("a.wav", song, content, "{}", [*paths, folder / "planned.wav"])
        journal.ready("a.wav", [(path, path, content) for path in paths])
        journal.done("a.wav")


def test_stems_beside_their_song_are_no_songs(tmp_path: Path) -> None:
    """A file that no run wrote is one, though a run that failed would have written there."""
    make_songs(tmp_path, "a.wav", "a/vocals.wav", "planned.wav", "new/b.wav", "new/b/vocals.wav")
    journal_of(tmp_path, tmp_path / "a.wav", "a/vocals.wav")
    found = find_songs(tmp_path, output=tmp_path / "elsewhere")
    assert places(found) == ["a.wav", "planned.wav", "new/b.wav", "new/b/vocals.wav"]
    assert (found.stems, found.outputs) == (1, 0)
    assert "a/vocals.wav" in places(find_songs(tmp_path, stems_too=True))


def test_a_folder_below_with_songs_and_their_stems(tmp_path: Path) -> None:
    """Also where it was moved since, so that only the places of the songs tell."""
    make_songs(tmp_path, "x/a.wav", "x/a/vocals.wav", "b.wav")
    journal_of(tmp_path / "x", Path("/before/x/a.wav"), "a/vocals.wav")
    found = find_songs(tmp_path)
    assert (places(found), found.stems, found.outputs) == (["b.wav", "x/a.wav"], 1, 0)


def test_a_journal_is_read_while_a_run_writes_it_and_is_not_changed(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav", "a/vocals.wav")
    journal_of(tmp_path, tmp_path / "a.wav", "a/vocals.wav")
    before = (tmp_path / NAME).read_bytes()
    with Journal(tmp_path):
        assert places(find_songs(tmp_path)) == ["a.wav"]
    assert (tmp_path / NAME).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "a", "a.wav"}


def test_a_damaged_journal_of_the_folder_that_was_named_is_an_error(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav", "x/b.wav")
    (tmp_path / "x" / NAME).write_text("no database " * 99)
    assert places(find_songs(tmp_path)) == ["a.wav"]
    with pytest.raises(OutputError, match=r"is damaged .* Move it away"):
        find_songs(tmp_path / "x")


def test_an_output_folder_that_is_the_input_is_still_read(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.wav")
    assert places(find_songs(tmp_path, output=tmp_path)) == ["a.wav"]


def test_reports_a_folder_that_may_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_songs(tmp_path, "a.wav", "locked/b.wav")
    real = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_songs(tmp_path)
    assert (places(found), found.unreadable) == (["a.wav"], [tmp_path / "locked"])


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
def test_folding_twice_is_folding_once(name: str) -> None:
    assert folded(folded(name)) == folded(name)


def test_include_and_exclude_together(tmp_path: Path) -> None:
    make_songs(tmp_path, "a.flac", "b.mp3", "Live/c.flac")
    found = find_songs(tmp_path, include=["*.flac"], exclude=["live"])
    assert (places(found), found.excluded) == (["a.flac"], 2)


@pytest.mark.parametrize("name", ["nowhere", "file.mp3"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    make_songs(tmp_path, "file.mp3")
    with pytest.raises(UsageError, match="stem batch FOLDER"):
        find_songs(tmp_path / name)


def test_a_folder_without_songs_says_what_is_in_it(tmp_path: Path) -> None:
    make_songs(tmp_path, "cover.jpg", ".DS_Store")
    with pytest.raises(UsageError, match=r"no song in .*1 not audio, 1 hidden"):
        require_songs(find_songs(tmp_path), tmp_path)


def test_sources_of_programs_are_not_songs(tmp_path: Path) -> None:
    """A transport stream has a sync byte every 188; TypeScript shares its ending."""
    make_songs(tmp_path, "song.m4r", "game.DSF", "speech.spx", "film.flv", "old.mpeg")
    (tmp_path / "index.ts").write_text("export const song: string = 'la';\n" * 99)
    (tmp_path / "record.ts").write_bytes(50 * (b"\x47" + bytes(187)))
    found = find_songs(tmp_path)
    assert places(found) == [
        *("film.flv", "game.DSF", "old.mpeg", "record.ts", "song.m4r", "speech.spx"),
    ]
    assert found.other == 1


def test_a_pipe_with_such_an_ending_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "song.ts")
    assert places(find_songs(tmp_path)) == ["song.ts"]

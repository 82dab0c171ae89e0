"""Planned outputs, and conflicts between them that are refused before any work."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from model_zoo.errors import OutputError
from stemcli.batch.library import LibrarySong, find_songs
from stemcli.batch.plan import SongTask, check_writable, once, plan, refuse_existing
from stemcli.engine.options import Options
from tests.stemcli.batch.fake import FakeSession, make_songs


def make_plan(root: Path, *songs: Path, **choices: Any) -> list[SongTask]:
    options = Options(**{"output": str(root / "out"), **choices})
    library_songs = [LibrarySong(song, song.parent.relative_to(root)) for song in songs]
    return plan(library_songs, FakeSession(options, print), options)


def test_outputs_mirror_the_folders_of_the_songs(tmp_path: Path) -> None:
    songs = make_songs(tmp_path, "x/a.mp3", "y/a.mp3")
    first, second = make_plan(tmp_path, *songs)
    assert first.planned.stems["vocals"] == tmp_path / "out/x/a/vocals.wav"
    assert second.planned.stems["vocals"] == tmp_path / "out/y/a/vocals.wav"
    assert (first.name, second.name) == (str(Path("x/a.mp3")), str(Path("y/a.mp3")))


COMPOSED = unicodedata.normalize("NFC", "niño")
DECOMPOSED = unicodedata.normalize("NFD", "niño")


@pytest.mark.parametrize(
    ("first_name", "second_name"),
    [
        ("a.mp3", "a.wav"),
        ("Song.mp3", "song.mp3"),
        (f"{COMPOSED}.mp3", f"{DECOMPOSED}.mp3"),
        ("Straße.mp3", "STRASSE.mp3"),
    ],
)
def test_two_songs_for_one_file_are_refused_with_both_names(
    tmp_path: Path, first_name: str, second_name: str
) -> None:
    songs = make_songs(tmp_path, first_name, second_name)
    with pytest.raises(OutputError) as refusal:
        make_plan(tmp_path, *songs)
    assert all(str(song) in str(refusal.value) for song in songs)


def test_a_template_without_track_is_a_collision(tmp_path: Path) -> None:
    songs = make_songs(tmp_path, "a.mp3", "b.mp3")
    with pytest.raises(OutputError, match="would both be written"):
        make_plan(tmp_path, *songs, filename="{stem}.{ext}")


def test_all_collisions_are_reported_together(tmp_path: Path) -> None:
    """By hand: the first of twelve songs collides with each of the others; a stem with a song."""
    songs = make_songs(tmp_path, *(f"a.{number}.mp3" for number in range(12)))
    with pytest.raises(OutputError) as refusal:
        make_plan(tmp_path, *songs, filename="{stem}.{ext}")
    assert str(refusal.value).count(f"{songs[0]} and ") == 10
    assert f"{songs[0]} and {songs[10]} would both" in str(refusal.value)
    assert "; and 1 more. Add {track} to filename" in str(refusal.value)
    songs = make_songs(tmp_path, "x.mp3", "x.flac", "y.mp3", "y/vocals.wav")
    with pytest.raises(OutputError) as refusal:
        make_plan(tmp_path, *songs, output=str(tmp_path), existing="overwrite")
    assert [str(refusal.value).count(each) for each in ("would both", "would replace")] == [1, 1]


def test_a_stem_never_replaces_another_song(tmp_path: Path) -> None:
    songs = make_songs(tmp_path, "a.mp3", "a/vocals.wav")
    with pytest.raises(OutputError, match="would replace the song"):
        make_plan(tmp_path, *songs, output=str(tmp_path), existing="overwrite")


@pytest.mark.parametrize("earlier", ["wav", "mp3"])
def test_own_outputs_are_not_songs(tmp_path: Path, earlier: str) -> None:
    make_songs(tmp_path, "a.mp3", f"a/vocals.{earlier}", f"a/instrumental.{earlier}")
    options = Options(output=str(tmp_path), existing="overwrite")
    songs = find_songs(tmp_path, output=tmp_path).songs
    assert [task.name for task in plan(songs, FakeSession(options, print), options)] == ["a.mp3"]


def test_existing_stems_are_refused_before_work(tmp_path: Path) -> None:
    (song,) = make_songs(tmp_path, "b.mp3")
    existing = make_songs(tmp_path, "out/b/vocals.wav", "out/b/instrumental.wav")
    with pytest.raises(OutputError, match=r"already exists \(and 1 more\).*existing='skip'"):
        refuse_existing(existing)
    refuse_existing([song.with_name("not there")])


def test_a_song_given_twice_is_separated_once(tmp_path: Path) -> None:
    (song,) = make_songs(tmp_path, "a.mp3")
    assert once([LibrarySong(song), LibrarySong(song)]) == [LibrarySong(song)]
    other = song.parent / "folder" / ".." / song.name
    assert once([LibrarySong(song), LibrarySong(other)]) == [LibrarySong(other)]


def test_an_output_below_a_file_is_refused(tmp_path: Path) -> None:
    make_songs(tmp_path, "file")
    with pytest.raises(OutputError, match="is a file"):
        check_writable(tmp_path / "file" / "deeper" / "still")


def test_an_unwritable_output_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(OutputError, match=r"is not writable.*with output"):
        check_writable(tmp_path / "out")


def test_the_check_creates_no_folder(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert [*tmp_path.iterdir()] == []

"""Resumed runs do only what is left. Expected: the songs that each run separates."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_zoo.errors import OutputError
from stemcli.audio.writer import leftovers
from stemcli.batch.journal import Journal
from stemcli.batch.library import LibrarySong
from stemcli.batch.report import BatchReport
from stemcli.batch.resume import DONE, EDITED, FOREIGN
from stemcli.batch.run import separate_songs
from stemcli.engine.options import Options
from tests.stemcli.batch.fake import make_songs, open_fake
from tests.stemcli.batch.small_libraries import Library, change

pytestmark = pytest.mark.usefixtures("one_song_at_a_time")


class Killed(BaseException):
    """Ends a run like SIGKILL."""


def test_a_second_run_does_nothing(library: Library) -> None:
    report = library.run()
    assert library.separated == []
    assert [track.outcome for track in report.tracks] == ["skipped"] * 3
    assert (library.started.skipped, library.started.again) == ({DONE: 3}, {})


CHANGES: dict[str, tuple[Callable[[Library], object], list[str], str]] = {
    "missing": (
        lambda library: (library.out / "x/a/vocals.wav").unlink(),
        ["a.mp3"],
        "stems are missing",
    ),
    "song": (
        lambda library: change(library, "in/c.mp3", "another song"),
        ["c.mp3"],
        "the song changed",
    ),
    "model": (
        lambda library: library.model.update(fake="2"),
        ["c.mp3", "a.mp3", "b.mp3"],
        "changed: model",
    ),
    "new": (lambda library: make_songs(library.root / "in", "d.mp3"), ["d.mp3"], ""),
    "touched": (lambda library: os.utime(library.root / "in/c.mp3", ns=(0, 0)), [], ""),
    "stem touched": (lambda library: os.utime(library.out / "c/vocals.wav", ns=(0, 0)), [], ""),
    "library moved": (
        lambda library: (
            (library.root / "in").rename(library.root / "old")
            and make_songs(library.root / "in", "x/a.mp3", "x/b.mp3", "c.mp3")
        ),
        [],
        "",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_are_noticed(name: str, library: Library) -> None:
    apply_change, separated, reason = CHANGES[name]
    apply_change(library)
    report = library.run()
    assert library.separated == separated
    assert report.exit_code == 0
    assert library.started.again == ({reason: len(separated)} if reason else {})
    library.run()
    assert library.separated == []


def test_changed_options_are_named_and_old_files_kept(library: Library) -> None:
    library.run(overlap=0.5)
    assert library.separated == ["c.mp3", "a.mp3", "b.mp3"]
    assert library.started.again == {"changed: overlap": 3}
    library.run(overlap=0.5, format="flac")
    assert library.started.again == {"changed: format": 3}
    assert (library.out / "c/vocals.wav").exists()
    library.run(overlap=0.5, format="flac", device="cpu", batch_size=3)
    assert library.separated == []


def test_an_edited_stem_is_not_replaced(library: Library) -> None:
    change(library, "out/c/vocals.wav", "a better mix")
    library.run()
    assert library.started.skipped == {EDITED: 1, DONE: 2}
    library.run(overlap=0.5)
    assert library.separated == ["a.mp3", "b.mp3"]
    (library.out / "c/instrumental.wav").unlink()
    for choice in ("refuse", "skip"):
        library.run(overlap=0.5, existing=choice)
        assert library.started.skipped[EDITED] == 1
    assert library.separated == []
    assert (library.out / "c/vocals.wav").read_text() == "a better mix"
    library.run(overlap=0.5, existing="overwrite")
    assert (library.out / "c/vocals.wav").read_text() == "vocals of c.mp3"


def test_stems_without_an_entry_are_refused_kept_or_replaced(tmp_path: Path) -> None:
    library = Library(tmp_path)
    make_songs(library.out, "c/vocals.wav", "c/instrumental.wav", content="mine")
    with pytest.raises(OutputError, match=r"already exists \(and 1 more\)"):
        library.run()
    library.run(existing="skip")
    assert library.separated == ["a.mp3", "b.mp3"]
    (library.out / "c/instrumental.wav").unlink()
    library.run(existing="skip")
    assert library.started.skipped[FOREIGN] == 1
    assert (library.out / "c/vocals.wav").read_text() == "mine"
    library.run(existing="overwrite")
    assert library.separated == ["c.mp3", "a.mp3", "b.mp3"]
    library.run()
    assert library.separated == []


def test_another_library_with_the_same_names_is_refused(library: Library) -> None:
    make_songs(library.root / "other", "c.mp3", content="somebody else's song")
    with pytest.raises(OutputError, match=r"already exists"):
        library.run(folder="other")


def test_failed_songs_are_retried_by_the_next_run(tmp_path: Path) -> None:
    library = Library(tmp_path)
    change(library, "in/c.mp3", "bad")
    assert library.run().exit_code == 1
    assert library.run().exit_code == 1
    assert (library.separated, library.started.again) == (["c.mp3"], {"failed before": 1})
    change(library, "in/c.mp3", "good")
    assert library.run().exit_code == 0


def test_retries(tmp_path: Path) -> None:
    """The second song succeeds at its third attempt; the report has one row per song."""
    library, attempts = Library(tmp_path), []

    def fail_twice(song: Path) -> None:
        if song.name == "a.mp3":
            attempts.append(song)
            if len(attempts) < 3:
                raise OSError(5, "Input/output error")

    library.before = fail_twice
    report = library.run(retries=3)
    assert library.separated == ["c.mp3", "a.mp3", "b.mp3", "a.mp3", "a.mp3"]
    assert [track.outcome for track in report.tracks] == ["done"] * 3
    assert [Path(track.song).name for track in report.tracks] == ["c.mp3", "a.mp3", "b.mp3"]


@pytest.mark.parametrize("moment", ["begin", "ready", "first rename", "all renames"])
def test_a_killed_run_is_resumed(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A song whose stems are all written is not separated again."""
    library = Library(tmp_path)
    with monkeypatch.context() as patch:
        _kill(patch, moment)
        with pytest.raises(Killed):
            library.run()
    library.run()
    redone = moment == "begin"
    assert library.separated == (["c.mp3"] if redone else []) + ["a.mp3", "b.mp3"]
    stems = sorted(path for path in library.out.rglob("*") if path.is_file())
    assert [path.name for path in stems if not path.name.startswith(".")] == [
        "instrumental.wav",
        "vocals.wav",
    ] * 3
    with Journal(library.out) as journal:
        entry = journal.find("c.mp3")
    assert entry is not None
    assert (entry.finished, entry.attempts) == (1, 2 if redone else 1)


def _kill(patch: pytest.MonkeyPatch, moment: str) -> None:
    """End the run right after a journal entry, or after the first or all renames."""
    if moment in ("begin", "ready"):
        write = getattr(Journal, moment)

        def write_and_die(journal: Journal, *values: Any) -> None:
            write(journal, *values)
            raise Killed

        patch.setattr(Journal, moment, write_and_die)
        return
    left, rename = [0 if moment == "first rename" else 1], Path.replace

    def replace(path: Path, target: Path) -> Path:
        rename(path, target)
        if not left[0]:
            raise Killed
        left[0] -= 1
        return target

    patch.setattr(Path, "replace", replace)


def test_partial_files_are_removed(tmp_path: Path) -> None:
    """Only Stem's own partial files: hidden files of other programs stay."""
    library = Library(tmp_path)
    stem = library.out / "c/vocals.wav"

    def die(song: Path) -> None:
        make_songs(
            library.out, "c/.vocals.0123abcd.part.wav", "c/.vocals.part.wav", "c/.x.part.wav"
        )
        raise Killed

    library.before = die
    with pytest.raises(Killed):
        library.run()
    assert [path.name for path in leftovers(stem)] == [".vocals.0123abcd.part.wav"]
    library.before = lambda song: None
    library.run()
    assert leftovers(stem) == []
    assert {".vocals.part.wav", ".x.part.wav"} <= {path.name for path in stem.parent.iterdir()}


def test_a_partial_file_that_cannot_be_removed_is_named(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder lost its write permission after a run was killed there."""
    make_songs(library.out, "x/a/.vocals.0123abcd.part.wav")
    with Journal(library.out) as journal:
        entry = journal.find("x/a.mp3")
        assert entry
        journal.begin("x/a.mp3", entry.source, entry.content, entry.settings, entry.outputs)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OutputError, match=r"part\.wav, left by .* \(Permission denied\)\. Remove"):
        library.run()


def test_existing_stems_are_refused_without_a_journal(tmp_path: Path) -> None:
    (song,) = make_songs(tmp_path, "a.mp3")
    options = Options(output=str(tmp_path / "out"))

    def run() -> BatchReport:
        return separate_songs(
            [LibrarySong(song)], options, on_event=lambda event: None, open_executor=open_fake
        )

    run()
    with pytest.raises(OutputError, match="already exists"):
        run()

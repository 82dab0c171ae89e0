"""Stems that replace older ones, when a rename fails or a run is killed between two renames."""

from __future__ import annotations

from pathlib import Path

import pytest

from stemcli.audio.writer import aside, beside
from stemcli.batch.journal import Journal
from stemcli.batch.records import Content
from stemcli.batch.resume import DONE, EDITED
from stemcli.engine.publish import StagedFiles, publish_files
from tests.stemcli.batch import fake
from tests.stemcli.batch.small_libraries import Library, change

pytestmark = pytest.mark.usefixtures("one_song_at_a_time")


@pytest.fixture(autouse=True)
def publish_as_the_engine_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def publish(files: StagedFiles) -> None:
        try:
            publish_files(files)
        finally:
            for temporary, _ in files:
                temporary.unlink(missing_ok=True)

    monkeypatch.setattr(fake, "rename_all", publish)


def texts(library: Library) -> dict[str, str]:
    """Stems of the first song, hidden files included."""
    return {path.name: path.read_text() for path in (library.out / "c").iterdir()}


def make_older(library: Library) -> None:
    """Let the stems of the first song be those of another model."""
    with Journal(library.out) as journal:
        entry = journal.find("c.mp3")
        assert entry
        for path in entry.outputs:
            path.write_text(f"older {path.stem}")
        rows = [(path, path, Content.of(path)) for path in entry.outputs]
        journal.record("c.mp3", rows, "done")


def fail_for(name: str, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    """Let the rename of a complete stem to ``name`` fail."""
    replace = Path.replace

    def failing(path: Path, target: Path) -> Path:
        if target == Path(name) and ".part" in path.name:
            raise error
        return replace(path, target)

    patch.setattr(Path, "replace", failing)


@pytest.mark.parametrize("stem", ["vocals", "instrumental"])
@pytest.mark.parametrize(
    "error", [PermissionError(1, "Operation not permitted"), KeyboardInterrupt()]
)
def test_after_a_failed_overwrite_the_old_stems_are_there(
    stem: str, error: BaseException, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: nobody edited a stem, so the next run separates the song again."""
    make_older(library)
    before = texts(library)
    with monkeypatch.context() as patch:
        fail_for(str(library.out / f"c/{stem}.wav"), error, patch)
        try:
            report = library.run(existing="overwrite", overlap=0.5)
        except KeyboardInterrupt:
            assert isinstance(error, KeyboardInterrupt)
        else:
            assert [track.outcome for track in report.tracks] == ["failed", "done", "done"]
            assert "Operation not permitted" in report.tracks[0].message
    assert texts(library) == before
    library.run(overlap=0.5)
    assert "c.mp3" in library.separated
    assert library.started.skipped.get(EDITED, 0) == 0
    library.run(overlap=0.5)
    assert library.started.skipped == {DONE: 3}


def test_an_edited_stem_counts_as_edited_after_a_failed_overwrite(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(library, "out/c/vocals.wav", "a better mix")
    with monkeypatch.context() as patch:
        fail_for(str(library.out / "c/instrumental.wav"), PermissionError(1, "No"), patch)
        library.run(existing="overwrite")
    assert texts(library)["vocals.wav"] == "a better mix"
    library.run()
    assert library.started.skipped == {EDITED: 1, DONE: 2}


STEMS = ("vocals", "instrumental")


def kill_between_renames(
    library: Library,
    broken: tuple[str, ...],
    set_aside: str = "vocals",
    *,
    is_renamed: bool = False,
) -> None:
    """The state of the disk after a kill between the renames.

    Args:
        library: whose first song was being separated again.
        broken: stems that the disk did not have yet when the power failed.
        set_aside: the stem whose older file was set aside.
        is_renamed: whether that stem has its new file already.
    """
    paths = {stem: library.out / f"c/{stem}.wav" for stem in STEMS}
    files = {stem: beside(path) for stem, path in paths.items()}
    with Journal(library.out) as journal:
        entry = journal.find("c.mp3")
        assert entry
        journal.begin("c.mp3", entry.source, entry.content, entry.settings, paths.values())
        for stem, temporary in files.items():
            temporary.write_text(f"new {stem}")
        rows = [(files[stem], path, Content.of(files[stem])) for stem, path in paths.items()]
        journal.ready("c.mp3", rows)
    paths[set_aside].replace(aside(paths[set_aside]))
    if is_renamed:
        files[set_aside].replace(paths[set_aside])
    for stem in broken:
        files[stem].write_text("")


def test_a_run_that_was_killed_between_two_renames(library: Library) -> None:
    kill_between_renames(library, broken=())
    library.run()
    assert library.separated == []
    assert texts(library) == {"vocals.wav": "new vocals", "instrumental.wav": "new instrumental"}


@pytest.mark.parametrize("broken", [STEMS, ("instrumental",), ("vocals",)], ids="+".join)
@pytest.mark.parametrize("set_aside", STEMS)
def test_an_older_stem_without_a_newer_one_comes_back(
    set_aside: str, broken: tuple[str, ...], library: Library
) -> None:
    """The other stem cannot be told from an edited one, so the song is kept as it was."""
    before = texts(library)
    kill_between_renames(library, broken, set_aside)
    library.run()
    assert texts(library) == before


def test_a_newer_stem_without_the_others_makes_room_for_the_older_one(library: Library) -> None:
    """Law: after a run, the stems of a song are of one separation."""
    before = texts(library)
    kill_between_renames(library, ("instrumental",), is_renamed=True)
    library.run()
    assert texts(library) == before


def test_a_newer_stem_that_was_edited_is_kept(library: Library) -> None:
    kill_between_renames(library, ("instrumental",), is_renamed=True)
    change(library, "out/c/vocals.wav", "a better mix")
    library.run()
    assert texts(library)["vocals.wav"] == "a better mix"

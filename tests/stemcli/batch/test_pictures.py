"""Pictures in a batch with the fake engine. Expected: the songs that each run separates."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from model_zoo.errors import ConfigError
from stemcli.batch.journal import Journal
from stemcli.batch.library import LibrarySong, find_songs
from stemcli.batch.plan import SongTask
from stemcli.batch.ray_executor import open_cluster
from stemcli.batch.resume import DONE, EDITED_PICTURE, EXIST
from stemcli.engine import planned
from stemcli.engine.events import TrackFinished
from stemcli.engine.options import Options
from stemcli.engine.outputs import plan_picture
from stemcli.engine.planned import PlannedFiles
from stemcli.engine.tag_fields import TAG_FIELDS
from stemcli.remote_path import UrlPath
from tests.stemcli.batch.fake_cluster import Cluster, partial_files
from tests.stemcli.batch.fake_ray import GOOD, FakeRay
from tests.stemcli.batch.small_libraries import Library, UrlLibrary

pytestmark = pytest.mark.usefixtures("one_song_at_a_time")

ALL = ["c.mp3", "a.mp3", "b.mp3"]


def picture_of(library: Library, song: str) -> Path:
    return library.out / song / "spectrograms.png"


@pytest.mark.parametrize(
    ("template", "form", "expected"),
    [
        ("{track}/{stem}.{ext}", "wav", "out/My $ong/spectrograms.png"),
        ("{stem}/{track}.{ext}", "mp3", "out/spectrograms/My $ong.png"),
        ("{track}.wav", "wav", "out/My $ong.png"),
        ("{track}/{stem}.WAV", "wav", "out/My $ong/spectrograms.png"),
        ("{model} {stem}.{ext}", "flac", "out/a_b spectrograms.png"),
    ],
)
def test_the_path_comes_from_the_template(template: str, form: str, expected: str) -> None:
    options = Options(filename=template, format=form, picture=True)
    song = Path("in/My $ong.mp3")
    assert plan_picture(song, options, folder=Path("out"), model="a/b") == Path(expected)
    without = Options(filename=template, format=form)
    assert plan_picture(song, without, folder=Path("out"), model="a/b") is None


def test_a_wrong_template_is_refused() -> None:
    options = Options(filename="{trac}/{stem}.{ext}", picture=True)
    with pytest.raises(ConfigError, match="did you mean"):
        plan_picture(Path("a.mp3"), options, folder=Path(), model="m")


def test_tags_are_read_once_for_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    values = dict.fromkeys(TAG_FIELDS, "x") | {"artist": "A"}
    monkeypatch.setattr(planned, "tag_values", lambda song: read.append(song) or values)
    options = Options(filename="{artist}/{stem}.{ext}", picture=True)
    files = planned.plan_files(Path("a.mp3"), ["vocals"], options, folder=Path("out"), model="m")
    assert files.files == [Path("out/A/vocals.wav"), Path("out/A/spectrograms.png")]
    assert read == [Path("a.mp3")]


def test_songs_done_without_a_picture_are_redone_once(library: Library) -> None:
    report = library.run(picture=True)
    assert library.separated == ALL
    assert library.started.again == {"the picture is missing": 3}
    assert picture_of(library, "x/a").exists()
    assert report.tracks[0].picture == str(picture_of(library, "c"))
    assert set(report.tracks[0].outputs) == {"vocals", "instrumental"}
    for options in ({"picture": True}, {}):
        again = library.run(**options)
        assert library.separated == []
        assert {track.message for track in again.tracks} == {DONE}


def test_a_deleted_picture_is_redone_only_if_asked_for(library: Library) -> None:
    library.run(picture=True)
    picture_of(library, "x/a").unlink()
    library.run()
    assert library.separated == []
    library.run(picture=True)
    assert library.separated == ["a.mp3"]


def test_a_picture_of_other_stems_is_drawn_again(library: Library) -> None:
    """The second run wrote other stems and left the picture of the first."""
    library.run(picture=True)
    library.run(overlap=0.5)
    assert library.separated == ALL
    library.run(overlap=0.5, picture=True)
    assert library.separated == ALL
    assert library.started.again == {"the picture is missing": 3}


def test_an_edited_picture_is_kept(library: Library) -> None:
    library.run(picture=True)
    picture_of(library, "c").write_text("with my notes")
    report = library.run(picture=True, overlap=0.5)
    assert library.separated == ["a.mp3", "b.mp3"]
    assert report.tracks[0].message == EDITED_PICTURE
    assert picture_of(library, "c").read_text() == "with my notes"
    library.run(picture=True, overlap=0.5, existing="overwrite")
    assert picture_of(library, "c").read_text() == "spectrograms of c.mp3"


def test_existing_files_count_the_picture(library: Library) -> None:
    report = library.run(picture=True, existing="skip")
    assert library.separated == ALL
    report = library.run(picture=True, existing="skip")
    assert {track.message for track in report.tracks} == {EXIST}


def test_pictures_are_not_songs_and_not_counted_as_stems(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.out = library.root / "in"  # songs and stems in one folder
    library.run(picture=True)
    scan = find_songs(library.out)
    assert [song.path.name for song in scan.songs] == ALL
    assert (scan.stems, scan.other) == (6, 3)


@pytest.mark.usefixtures("one_song_at_a_time")
def test_after_a_crash_no_picture_is_left(library: Library) -> None:
    """As if the process was killed with a picture under its temporary name."""
    library.run(picture=True)
    left = library.out / "c/.spectrograms.0123abcd.part.png"
    left.write_text("half")
    song = library.root / "in/c.mp3"
    with Journal(library.out) as journal:
        entry = journal.find("c.mp3")
        assert entry is not None
        paths = [library.out / "c/vocals.wav", picture_of(library, "c")]
        journal.begin("c.mp3", song, entry.content, entry.settings, paths)
    library.run(picture=True)
    assert library.separated == ["c.mp3"]
    assert not left.exists()


@pytest.mark.parametrize("url_library", ["bucket", "here"], indirect=True)
def test_pictures_behind_urls(
    url_library: UrlLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    url_library.run(picture=True)
    path = url_library.out / "x/a/spectrograms.png"
    with path.open("rb") as file:
        assert file.read() == b"spectrograms of a.mp3"
    ends = [event for event in url_library.events if isinstance(event, TrackFinished)]
    assert str(path) in [event.picture for event in ends]
    assert [track.message for track in url_library.run(picture=True).tracks] == [DONE] * 3
    assert [*(tmp_path / "tmp").glob("*")] == []


@pytest.mark.parametrize("url_library", ["bucket"], indirect=True)
def test_pictures_by_a_cluster_behind_urls(
    url_library: UrlLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    FakeRay(monkeypatch).live_nodes = {"a": GOOD}
    assert url_library.run(open_cluster, picture=True).count("done") == 3
    assert isinstance(url_library.out, UrlPath)
    assert sum(path.name == "spectrograms.png" for path in url_library.out.below()) == 3
    assert [*tmp_path.glob("stem-*")] == []


def test_pictures_by_a_cluster(cluster: Cluster) -> None:
    (task,) = cluster.tasks("a.mp3")
    options: Any = cluster.executor._options
    assert cluster.executor.plan_files(Path("a.mp3")).picture is None
    with_picture = Options(**{**options.to_dict(), "picture": True, "model": options.model})
    cluster.executor = type(cluster.executor)(with_picture, cluster._forward, 1)
    path = cluster.executor.plan_files(Path("a.mp3")).picture
    assert path == Path("out/a/spectrograms.png")
    task = SongTask(LibrarySong(Path("a.mp3")), PlannedFiles(task.planned.stems, path))
    assert cluster.run([task])["a.mp3"].error is None
    assert path.read_text() == "spectrograms of a.mp3"
    assert partial_files() == []
    (end,) = cluster.events_of(TrackFinished)
    assert isinstance(end, TrackFinished)
    assert end.picture == "out/a/spectrograms.png"

"""Libraries behind URLs. Expected: the same results as with local files.

The bucket is served by moto, which emulates S3; fsspec reaches it through s3fs and pyarrow.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from model_zoo.errors import OutputError
from stemcli.batch.executor import open_local
from stemcli.batch.journal import Journal
from stemcli.batch.library import find_songs
from stemcli.batch.ray_executor import open_cluster
from stemcli.batch.records import Content
from stemcli.batch.resume import DONE
from stemcli.batch.run import separate_songs
from stemcli.engine.events import Event, TrackStarted
from stemcli.engine.options import Options
from stemcli.remote_path import UrlPath
from tests.stemcli.batch.bucket import get, put
from tests.stemcli.batch.fake_ray import GOOD, FakeRay
from tests.stemcli.batch.small_libraries import UrlLibrary


def test_a_library_in_a_bucket(url_library: UrlLibrary) -> None:
    report = url_library.run()
    assert report.count("done") == 3
    assert sorted(url_library.separated) == ["a.mp3", "b.mp3", "c.mp3"]
    assert report.tracks[0].song == "s3://library/songs/c.mp3"
    expected = {"c": "", "x/a": "", "x/b": ""}
    for song in expected:
        for stem in ("vocals", "instrumental"):
            path = url_library.out / song / f"{stem}.wav"
            with path.open("rb") as file:
                assert file.read().decode() == f"{stem} of {Path(song).name}.mp3"
    if isinstance(url_library.out, UrlPath):
        assert len(url_library.out.below()) == 6
    assert report.tracks[0].outputs["vocals"] == str(url_library.out / "c/vocals.wav")


@pytest.mark.parametrize("url_library", ["bucket"], indirect=True)
def test_a_cluster_and_a_bucket(
    url_library: UrlLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Actors upload stems and the driver renames them in the bucket; no local folder is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    FakeRay(monkeypatch).live_nodes = {"a": GOOD}
    assert url_library.run(open_cluster).count("done") == 3
    assert isinstance(url_library.out, UrlPath)
    assert len(url_library.out.below()) == 6
    assert get(url_library.out / "x/a/vocals.wav") == "vocals of a.mp3"
    for open_executor in (open_cluster, open_local):
        assert [track.message for track in url_library.run(open_executor).tracks] == [DONE] * 3
    assert [*tmp_path.glob("stem-*")] == []


def test_stems_beside_their_songs_in_a_bucket_are_not_songs(bucket: UrlPath) -> None:
    song, stem = put(bucket / "a.wav", "good"), put(bucket / "a/vocals.wav", "stem")
    with Journal(bucket) as journal:
        journal.begin("a.wav", song, Content(1, 0, "1"), "{}", [stem])
        journal.ready("a.wav", [(stem, stem, Content(1, 0, "1"))])
        journal.done("a.wav")
    scan = find_songs(bucket)
    assert ([song.path for song in scan.songs], scan.stems) == ([bucket / "a.wav"], 1)


def test_a_second_run_does_what_is_left(url_library: UrlLibrary) -> None:
    url_library.run()
    assert [track.message for track in url_library.run().tracks] == [DONE] * 3
    assert url_library.separated == []
    put(url_library.songs / "x/a.mp3", "another song")
    (url_library.out / "c/vocals.wav").unlink()
    url_library.run()
    assert sorted(url_library.separated) == ["a.mp3", "c.mp3"]
    url_library.run(overlap=0.5)
    assert len(url_library.separated) == 3


def test_stems_without_a_journal_are_refused(url_library: UrlLibrary) -> None:
    url_library.run()
    with Journal(url_library.out) as journal:
        journal.path.unlink()
    with pytest.raises(OutputError, match="already exists"):
        url_library.run()
    assert [track.outcome for track in url_library.run(existing="skip").tracks] == ["skipped"] * 3


def test_brackets_in_a_name_are_not_a_pattern(url_library: UrlLibrary) -> None:
    put(url_library.songs / "x/[live] {a} 100%?#.mp3", "good")
    report = url_library.run()
    assert [track.message for track in report.failures] == []
    assert (url_library.out / "x/[live] {a} 100%?#/vocals.wav").exists()


def test_a_missing_bucket_is_not_created(bucket: UrlPath) -> None:
    put(bucket / "songs/a.mp3", "good")
    songs = find_songs(bucket / "songs").songs
    with pytest.raises(OutputError, match=r"There is no s3://librari\. Create it first"):
        separate_songs(songs, Options(output="s3://librari/stems"), on_event=lambda event: None)
    assert not UrlPath("s3://librari").exists()


def test_a_damaged_song_is_reported_with_its_url(url_library: UrlLibrary) -> None:
    put(url_library.songs / "x/a.mp3", "bad")
    report = url_library.run()
    (failure,) = report.failures
    assert failure.song == "s3://library/songs/x/a.mp3"
    assert report.count("done") == 2


@pytest.mark.parametrize("url_library", ["bucket"], indirect=True)
def test_a_run_killed_after_all_renames_is_resumed(
    url_library: UrlLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run has nothing to rename and must not lose any stem."""

    def replace_or_die(journal: Journal, *values: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "done", replace_or_die)
        with pytest.raises(KeyboardInterrupt):
            url_library.run()
    url_library.run()
    assert isinstance(url_library.out, UrlPath)
    assert len(url_library.out.below()) == 6


@pytest.mark.parametrize("url_library", ["bucket"], indirect=True)
@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_a_run_killed_between_renames_is_resumed(
    renamed: int, url_library: UrlLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``renamed`` stems have their names; the next run finishes that song and does the others."""
    assert isinstance(url_library.out, UrlPath)
    left, replace = [renamed], UrlPath.replace

    def replace_or_die(path: UrlPath, target: UrlPath) -> UrlPath:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(UrlPath, "replace", replace_or_die)
        patch.setattr(UrlPath, "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            url_library.run()
    url_library.run()
    assert {path.name for path in url_library.out.below()} == {"vocals.wav", "instrumental.wav"}
    assert len(url_library.out.below()) == 6


@pytest.mark.parametrize("url_library", ["bucket"], indirect=True)
def test_the_temporary_folder_holds_only_songs_in_progress(
    url_library: UrlLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "between"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr("stemcli.batch.executor.AT_THE_ENDS", 0)
    counts = []

    def count(event: Event) -> None:
        if isinstance(event, TrackStarted):
            counts.append(len([path for path in temporary.rglob("*.wav") if path.is_file()]))

    with Journal(url_library.out) as journal:
        songs = find_songs(url_library.songs).songs
        options = Options(output=str(url_library.out))
        separate_songs(songs, options, journal=journal, on_event=count)
    assert counts == [0, 0, 0]


def test_the_temporary_folder_is_empty_at_the_end(
    url_library: UrlLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "between"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    url_library.run()
    assert list(temporary.iterdir()) == []


def test_stems_are_uploaded_without_a_journal(bucket: UrlPath, url_library: UrlLibrary) -> None:
    songs = find_songs(url_library.songs).songs
    options = Options(output=str(url_library.out))
    separate_songs(songs, options, on_event=url_library.events.append, open_executor=open_local)
    assert (url_library.out / "c/vocals.wav").exists()

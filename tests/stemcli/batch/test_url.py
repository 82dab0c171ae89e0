"""Songs and stems behind URLs. Truth: the same songs on this machine, and what lies in the bucket.

The bucket is one of moto, which speaks S3; fsspec reaches it through s3fs and through pyarrow.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from model_zoo.errors import OutputError, StemError, StorageError, UsageError
from stemcli.batch.executor import OpenExecutor, open_local
from stemcli.batch.journal import Journal
from stemcli.batch.library import find_songs
from stemcli.batch.ray_executor import open_cluster
from stemcli.batch.records import Content
from stemcli.batch.report import BatchReport
from stemcli.batch.resume import DONE
from stemcli.batch.run import separate_songs
from stemcli.engine.events import Event, TrackStarted
from stemcli.engine.options import Options
from stemcli.remote_path import UrlPath, absolute, as_path, real
from tests.stemcli.batch.fake import FakeSession
from tests.stemcli.batch.fake_ray import GOOD, FakeRay

BUCKET = "s3://library"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Where S3 is served."""
    running = ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UrlPath:
    """An empty bucket, and a zoo for the journal."""
    monkeypatch.setenv("STEM_HOME", str(tmp_path / "zoo"))
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server,
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    client: Any = boto3.client("s3")
    for entry in client.list_buckets()["Buckets"]:
        for found in client.list_objects_v2(Bucket=entry["Name"]).get("Contents", []):
            client.delete_object(Bucket=entry["Name"], Key=found["Key"])
    client.create_bucket(Bucket="library")
    return UrlPath(BUCKET)


def put(path: UrlPath, text: str) -> UrlPath:
    with path.open("wb") as file:
        file.write(text.encode())
    return path


def get(path: UrlPath) -> str:
    with path.open("rb") as file:
        return bytes(file.read()).decode()


def test_a_url_is_written_as_it_was_typed() -> None:
    path = as_path("s3://library/a b/ä.mp3")
    assert isinstance(path, UrlPath)
    assert str(path) == "s3://library/a b/ä.mp3"
    assert str(path.parent / "x" / path.with_name("y.wav").name) == "s3://library/a b/x/y.wav"
    assert str(path.relative_to(UrlPath(BUCKET))) == "a b/ä.mp3"
    assert pickle.loads(pickle.dumps(path)) == path
    assert real(path) == absolute(path) == path


def test_it_is_not_taken_for_a_path_of_this_machine() -> None:
    with pytest.raises(TypeError, match="is not on this machine"):
        os.stat(as_path("s3://library/x"))
    assert as_path("file:///tmp/a%20b") == Path("/tmp/a b")
    assert as_path("a/b") == Path("a/b")


def test_a_password_in_an_address_is_refused() -> None:
    with pytest.raises(UsageError, match=r"sftp://me@host/x was given with a password") as caught:
        as_path("sftp://me:secret@host/x")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"size": 1, "ETag": "a"}, {"size": 1, "ETag": "b"}),
        ({"size": 1, "mtime": 5, "time": 7}, {"size": 1, "mtime": 6, "time": 7}),
        ({"size": 1, "modify": "x"}, {"size": 2, "modify": "x"}),
    ],
)
def test_a_version_tells_contents_apart(
    before: dict[str, Any], after: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"info": before}
    monkeypatch.setattr(UrlPath, "_info", lambda path: told["info"])
    path = UrlPath("sftp://host/x")
    first = path.version
    told["info"] = {**before, "time": 99}  # of the last access
    assert path.version == first
    told["info"] = after
    assert path.version != first


def test_what_is_asked_of_a_path(bucket: UrlPath, tmp_path: Path) -> None:
    song = put(bucket / "a/b.mp3", "good")
    assert song.exists()
    assert not (bucket / "a/c.mp3").exists()
    assert bucket.is_dir()
    assert (bucket / "a").is_dir()
    assert not song.is_dir()
    assert song.size == 4
    assert list((bucket / "a").iterdir()) == [song]
    assert bucket.below() == [Path("a/b.mp3")]
    before = song.version
    assert song.version == before
    put(song, "evil")
    assert song.version != before
    song.fetch(tmp_path / "here")
    assert (tmp_path / "here").read_text() == "evil"
    song.replace(bucket / "d.mp3")
    assert not song.exists()
    assert get(bucket / "d.mp3") == "evil"
    (bucket / "d.mp3").unlink()
    (bucket / "d.mp3").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        (bucket / "d.mp3").fetch(tmp_path / "here")


def test_content_is_known_by_version_and_by_hash(bucket: UrlPath, tmp_path: Path) -> None:
    (tmp_path / "stem").write_text("sound")
    path = bucket / "stem"
    path.store(tmp_path / "stem")
    assert Content.of(path).is_in(path)
    assert Content.of(tmp_path / "stem").is_in(path)
    put(path, "noise")
    assert not Content.of(tmp_path / "stem").is_in(path)
    assert not Content.of(path).is_in(bucket / "none")


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("s3://nowhere", UsageError),
        ("nonsense://x", StorageError),
        ("ftp://0.0.0.0:1", StorageError),
    ],
)
def test_what_cannot_be_reached_is_one_sentence(
    address: str, error: type[StemError], bucket: UrlPath
) -> None:
    with pytest.raises(error, match=address):
        find_songs(as_path(address))


class Library:
    """Songs in a bucket and stems in another folder of it, or here."""

    def __init__(self, bucket: UrlPath, out: Path) -> None:
        self.songs, self.out = bucket / "songs", out
        self.separated: list[str] = []
        self.events: list[Event] = []

    def run(self, open_executor: OpenExecutor = open_local, **options: Any) -> BatchReport:
        self.separated = []
        with Journal(self.out) as journal:
            return separate_songs(
                find_songs(self.songs, output=self.out).songs,
                Options(output=str(self.out), **options),
                journal=journal,
                on_event=self.events.append,
                open_executor=open_executor,
            )


@pytest.fixture(params=["bucket", "here"])
def library(
    request: pytest.FixtureRequest,
    bucket: UrlPath,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Library:
    """With the engine that writes text files."""
    out = bucket / "stems" if request.param == "bucket" else tmp_path / "stems"
    made = Library(bucket, out)
    for name in ("x/a.mp3", "x/b.mp3", "c.mp3", ".hidden.mp3", "cover.jpg"):
        put(made.songs / name, "good")

    def open_fake(options: Options, listener: Any, *, jobs: int, load: Any) -> FakeSession:
        before = made.separated.append
        return FakeSession(options, listener, jobs, before=lambda song: before(song.name))

    monkeypatch.setattr("stemcli.engine.session.Session", open_fake)
    return made


def test_a_library_in_a_bucket(library: Library) -> None:
    report = library.run()
    assert report.count("done") == 3
    assert sorted(library.separated) == ["a.mp3", "b.mp3", "c.mp3"]
    assert report.tracks[0].song == "s3://library/songs/c.mp3"
    expected = {"c": "", "x/a": "", "x/b": ""}
    for song in expected:
        for stem in ("vocals", "instrumental"):
            path = library.out / song / f"{stem}.wav"
            with path.open("rb") as file:
                assert file.read().decode() == f"{stem} of {Path(song).name}.mp3"
    if isinstance(library.out, UrlPath):
        assert len(library.out.below()) == 6
    assert report.tracks[0].outputs["vocals"] == str(library.out / "c/vocals.wav")


@pytest.mark.parametrize("library", ["bucket"], indirect=True)
def test_a_cluster_and_a_bucket(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Actors carry stems into the bucket, and the driver renames them there; no folder is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    FakeRay(monkeypatch).nodes_there = {"a": GOOD}
    assert library.run(open_cluster).count("done") == 3
    assert isinstance(library.out, UrlPath)
    assert len(library.out.below()) == 6
    assert get(library.out / "x/a/vocals.wav") == "vocals of a.mp3"
    for open_executor in (open_cluster, open_local):
        assert [track.message for track in library.run(open_executor).tracks] == [DONE] * 3
    assert [*tmp_path.glob("stem-*")] == []


def test_stems_beside_their_songs_in_a_bucket_are_no_songs(bucket: UrlPath) -> None:
    song, stem = put(bucket / "a.wav", "good"), put(bucket / "a/vocals.wav", "stem")
    with Journal(bucket) as journal:
        journal.begin("a.wav", song, Content(1, 0, "1"), "{}", [stem])
        journal.ready("a.wav", [(stem, stem, Content(1, 0, "1"))])
        journal.done("a.wav")
    found = find_songs(bucket)
    assert ([song.path for song in found.songs], found.stems) == ([bucket / "a.wav"], 1)


def test_a_second_run_does_what_is_left(library: Library) -> None:
    library.run()
    assert [track.message for track in library.run().tracks] == [DONE] * 3
    assert library.separated == []
    put(library.songs / "x/a.mp3", "another song")
    (library.out / "c/vocals.wav").unlink()
    library.run()
    assert sorted(library.separated) == ["a.mp3", "c.mp3"]
    library.run(overlap=0.5)
    assert len(library.separated) == 3


def test_stems_of_nobody_knows_what_are_refused(library: Library) -> None:
    library.run()
    with Journal(library.out) as journal:
        journal.path.unlink()
    with pytest.raises(OutputError, match="already exists"):
        library.run()
    assert [track.outcome for track in library.run(existing="skip").tracks] == ["skipped"] * 3


def test_brackets_in_a_name_are_no_pattern(library: Library) -> None:
    put(library.songs / "x/[live] {a} 100%?#.mp3", "good")
    report = library.run()
    assert [track.message for track in report.failures] == []
    assert (library.out / "x/[live] {a} 100%?#/vocals.wav").exists()


def test_a_bucket_that_is_not_there_is_not_made(bucket: UrlPath) -> None:
    put(bucket / "songs/a.mp3", "good")
    songs = find_songs(bucket / "songs").songs
    with pytest.raises(OutputError, match=r"There is no s3://librari\. Create it first"):
        separate_songs(songs, Options(output="s3://librari/stems"), on_event=lambda event: None)
    assert not UrlPath("s3://librari").exists()


def test_a_song_that_is_damaged_is_named_by_its_address(library: Library) -> None:
    put(library.songs / "x/a.mp3", "bad")
    report = library.run()
    (failure,) = report.failures
    assert failure.song == "s3://library/songs/x/a.mp3"
    assert report.count("done") == 2


@pytest.mark.parametrize("library", ["bucket"], indirect=True)
def test_a_run_that_dies_when_all_have_their_names(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run has nothing to rename, and must not lose what is there."""

    def die(journal: Journal, *values: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "done", die)
        with pytest.raises(KeyboardInterrupt):
            library.run()
    library.run()
    assert isinstance(library.out, UrlPath)
    assert len(library.out.below()) == 6


@pytest.mark.parametrize("library", ["bucket"], indirect=True)
@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_a_run_that_dies_while_it_renames(
    renamed: int, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many stems have their names; the next run finishes that song and does the others."""
    assert isinstance(library.out, UrlPath)
    left, replace = [renamed], UrlPath.replace

    def die(path: UrlPath, target: UrlPath) -> UrlPath:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(UrlPath, "replace", die)
        patch.setattr(UrlPath, "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            library.run()
    library.run()
    assert {path.name for path in library.out.below()} == {"vocals.wav", "instrumental.wav"}
    assert len(library.out.below()) == 6


@pytest.mark.parametrize("library", ["bucket"], indirect=True)
def test_the_folder_in_between_holds_the_songs_that_are_worked_on_and_no_other(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = tmp_path / "between"
    between.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(between))
    monkeypatch.setattr("stemcli.batch.executor.AT_THE_ENDS", 0)
    held = []

    def count(event: Event) -> None:
        if isinstance(event, TrackStarted):
            held.append(len([path for path in between.rglob("*.wav") if path.is_file()]))

    with Journal(library.out) as journal:
        songs = find_songs(library.songs).songs
        options = Options(output=str(library.out))
        separate_songs(songs, options, journal=journal, on_event=count)
    assert held == [0, 0, 0]


def test_the_folder_in_between_is_gone_at_the_end(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = tmp_path / "between"
    between.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(between))
    library.run()
    assert list(between.iterdir()) == []


def test_without_a_journal_stems_are_carried_all_the_same(
    bucket: UrlPath, library: Library
) -> None:
    songs = find_songs(library.songs).songs
    options = Options(output=str(library.out))
    separate_songs(songs, options, on_event=library.events.append, open_executor=open_local)
    assert (library.out / "c/vocals.wav").exists()

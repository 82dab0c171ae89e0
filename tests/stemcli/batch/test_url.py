"""Songs and stems at URLs. Expected: the same results as with local files.

The bucket is served by moto, which emulates S3; fsspec reaches it through s3fs and pyarrow.
"""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from model_zoo.errors import DecodeError, OutputError, StemError, StorageError, UsageError
from stemcli.audio import tags
from stemcli.audio.tags import song_tags
from stemcli.batch.library import LibrarySong, fetched, find_songs
from stemcli.batch.pipe import _PipeExecutor
from stemcli.batch.plan import SongTask
from stemcli.batch.records import Content
from stemcli.engine.events import DownloadProgress, Event, TrackFinished
from stemcli.engine.options import Options
from stemcli.engine.planned import PlannedFiles
from stemcli.engine.tag_fields import tag_values
from stemcli.fetch import fetch
from stemcli.remote_path import UrlPath, _explain_errors, absolute, as_path, real, refuse_password
from stemcli.web import BLOCK
from tests.audio_files import ffmpeg
from tests.stemcli.batch.bucket import get, put
from tests.stemcli.batch.fake import FakeSession, make_songs, open_fake
from tests.web_server import content, serve

BUCKET = "s3://library"


def test_a_url_is_printed_as_given() -> None:
    path = as_path("s3://library/a b/ä.mp3")
    assert isinstance(path, UrlPath)
    assert str(path) == "s3://library/a b/ä.mp3"
    assert str(path.parent / "x" / path.with_name("y.wav").name) == "s3://library/a b/x/y.wav"
    assert str(path.relative_to(UrlPath(BUCKET))) == "a b/ä.mp3"
    assert pickle.loads(pickle.dumps(path)) == path
    assert real(path) == absolute(path) == path


def test_a_url_is_not_a_local_path() -> None:
    with pytest.raises(TypeError, match="is not on this machine"):
        os.stat(as_path("s3://library/x"))
    assert as_path("file:///tmp/a%20b") == Path("/tmp/a b")
    assert as_path("a/b") == Path("a/b")


def test_a_password_in_an_address_is_refused() -> None:
    with pytest.raises(UsageError, match=r"sftp://me@host/x was given with a password") as caught:
        as_path("sftp://me:secret@host/x")
    assert "secret" not in str(caught.value)


def test_a_key_in_a_url_is_not_shown_by_other_errors() -> None:
    url = "http://me:pass@server/x.mp3?key=secret"
    with pytest.raises(UsageError, match=r"^The URL http://me@server/x\.mp3\?\.\.\. was given"):
        refuse_password(url)
    with (
        pytest.raises(StorageError, match=r"^http://server/x\?\.\.\. cannot be reached \(no ht"),
        _explain_errors(UrlPath("http://server/x?key=secret")),
    ):
        raise OSError("no http://server/x?key=secret")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"size": 1, "ETag": "a"}, {"size": 1, "ETag": "b"}),
        ({"size": 1, "mtime": 5, "time": 7}, {"size": 1, "mtime": 6, "time": 7}),
        ({"size": 1, "modify": "x"}, {"size": 2, "modify": "x"}),
    ],
)
def test_a_version_changes_with_the_content(
    before: dict[str, Any], after: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    info = {"info": before}
    monkeypatch.setattr(UrlPath, "_info", lambda path: info["info"])
    path = UrlPath("sftp://host/x")
    first = path.version
    info["info"] = {**before, "time": 99}  # time of the last access
    assert path.version == first
    info["info"] = after
    assert path.version != first


def test_operations_of_a_url_path(bucket: UrlPath, tmp_path: Path) -> None:
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


def test_a_song_in_a_bucket_is_downloaded_up_to_the_limit(
    bucket: UrlPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(put(bucket / "a.mp3", "good"), tmp_path / "here")
    assert (tmp_path / "here").read_text() == "good"
    with pytest.raises(DecodeError, match=r"There is no file at s3://library/d\.mp3"):
        fetch(bucket / "d.mp3", tmp_path / "there")
    monkeypatch.setenv("STEM_INPUT_LIMIT", str(3 / 2**30))
    with pytest.raises(StorageError, match=r"is larger than .* GiB\. To allow more, set STEM_I"):
        fetch(bucket / "a.mp3", tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["here"]


@pytest.mark.parametrize("suffix", ["mp3", "flac", "m4a", "wav", "mkv"])
def test_tags_of_a_song_in_a_bucket(
    suffix: str, bucket: UrlPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reference: the tags of the local file; only WAV and films are downloaded as a whole."""
    song = tmp_path / f"a.{suffix}"
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-metadata", "title=T.N.T.", song)
    (bucket / song.name).store(song)
    song_in_bucket = bucket / song.name
    downloads: list[object] = []
    monkeypatch.setattr(tags, "fetch", lambda *args: downloads.append(args) or fetch(*args))
    assert song_tags(song_in_bucket) == song_tags(song)
    assert len(downloads) == (suffix in ("wav", "mkv"))
    assert tag_values(song_in_bucket)["title"] == "T.N.T."


def test_tags_that_cannot_be_reached_are_an_error(bucket: UrlPath) -> None:
    """Else the stems would get other names than in a run in which the network works."""
    with pytest.raises(StorageError, match=r"ftp://0\.0\.0\.0:1"):
        tag_values(UrlPath("ftp://0.0.0.0:1/a.mp3"))
    assert tag_values(bucket / "none.mp3")["title"] == "none"


def test_a_song_of_a_library_on_a_web_server(tmp_path: Path) -> None:
    """It is downloaded as in ``stem separate``, under its own name, and errors name its URL."""
    with serve() as server:
        song = LibrarySong(UrlPath(server.add("/x/a.mp3", content(b"good"))), Path("x"), met=True)
        with fetched(song, threading.Event()) as here:
            assert (here.name, here.read_bytes()) == ("a.mp3", b"good")
        assert not here.parent.exists()
        with (
            pytest.raises(StemError, match=rf"{server.url}/x/a\.mp3 is damaged"),
            fetched(song, threading.Event()) as here,
        ):
            raise DecodeError(f"{here} is damaged")


@pytest.mark.parametrize("kind", ["stdin", "url"])
def test_an_error_of_the_disk_names_the_temporary_folder(kind: str, tmp_path: Path) -> None:
    """Songs that are copied there first, as in ``stem separate - -o -``."""

    def fill_disk(song: Path) -> None:
        raise OutputError(f"The stems of {song} cannot be written")

    session = FakeSession(Options(output=str(tmp_path)), lambda event: None, before=fill_disk)
    with serve() as server:
        url = server.add("/a.mp3", content(b"good"))
        (path,) = make_songs(tmp_path, "stdin")
        songs = {
            "stdin": LibrarySong(path, origin="stdin"),
            "url": LibrarySong(tmp_path / "a.mp3", url=url, origin=url),
        }
        task = SongTask(songs[kind], PlannedFiles({"vocals": tmp_path / "vocals.wav"}))
        with _PipeExecutor(session, 1) as executor:
            (result,) = executor.run([task], replace=False, callbacks=lambda task: None)
    assert isinstance(result.error, OutputError)
    assert str(result.error) == (
        f"The stems of {songs[kind].shown} cannot be written. To use another temporary folder, set "
        "TMPDIR"
    )


def test_the_progress_of_a_download_is_an_event(tmp_path: Path) -> None:
    """The second half is sent after the first was reported."""
    events: list[Event] = []

    def on_event(event: Event) -> None:
        events.append(event)
        server.released.set()

    with serve() as server:
        url = server.add("/a.mp3", server.in_halves(b"good" * BLOCK))
        song = LibrarySong(tmp_path / "a.mp3", url=url)
        executor = open_fake(Options(output=str(tmp_path)), on_event, 1)
        task = SongTask(song, executor.plan_files(song.path))
        [*executor.run([task], replace=False, callbacks=lambda task: None)]
    assert events[0] == DownloadProgress("a.mp3", 2 * BLOCK, 4 * BLOCK)
    assert isinstance(events[-1], TrackFinished)


def test_content_is_recognized_by_version_and_by_hash(bucket: UrlPath, tmp_path: Path) -> None:
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
def test_an_unreachable_url_is_reported_in_one_sentence(
    address: str, error: type[StemError], bucket: UrlPath
) -> None:
    with pytest.raises(error, match=address):
        find_songs(as_path(address))

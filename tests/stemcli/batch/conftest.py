"""Fixtures for the fake cluster, for small libraries, and for a bucket that moto serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stemcli.engine.options import Options
from stemcli.remote_path import UrlPath
from tests.stemcli.batch.bucket import put
from tests.stemcli.batch.fake import FakeSession
from tests.stemcli.batch.fake_cluster import Cluster
from tests.stemcli.batch.small_libraries import Library, UrlLibrary


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cluster:
    return Cluster(monkeypatch, tmp_path)


@pytest.fixture
def bucket(s3_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UrlPath:
    """An empty bucket, and a zoo on this machine for the journal."""
    monkeypatch.setenv("STEM_HOME", str(tmp_path / "zoo"))
    s3_client.create_bucket(Bucket="library")
    return UrlPath("s3://library")


@pytest.fixture
def one_song_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes it certain which songs a run has reached when it is stopped."""
    monkeypatch.setattr("stemcli.batch.executor.AT_THE_ENDS", 0)


@pytest.fixture
def library(tmp_path: Path, one_song_at_a_time: None) -> Library:
    """Three songs that were separated."""
    library = Library(tmp_path)
    library.run()
    assert library.separated == ["c.mp3", "a.mp3", "b.mp3"]
    return library


@pytest.fixture(params=["bucket", "here"])
def url_library(
    request: pytest.FixtureRequest,
    bucket: UrlPath,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> UrlLibrary:
    """A library with the fake engine."""
    out = bucket / "stems" if request.param == "bucket" else tmp_path / "stems"
    library = UrlLibrary(bucket, out)
    for name in ("x/a.mp3", "x/b.mp3", "c.mp3", ".hidden.mp3", "cover.jpg"):
        put(library.songs / name, "good")

    def open_fake(options: Options, on_event: Any, *, jobs: int, load: Any) -> FakeSession:
        before = library.separated.append
        return FakeSession(options, on_event, jobs, before=lambda song: before(song.name))

    monkeypatch.setattr("stemcli.engine.session.Session", open_fake)
    return library

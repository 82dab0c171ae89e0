"""Fixtures for the fake cluster, and for a bucket that moto serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stemcli.remote_path import UrlPath
from tests.stemcli.batch.fake_cluster import Cluster


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cluster:
    return Cluster(monkeypatch, tmp_path)


@pytest.fixture
def bucket(s3_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UrlPath:
    """An empty bucket, and a zoo on this machine for the journal."""
    monkeypatch.setenv("STEM_HOME", str(tmp_path / "zoo"))
    s3_client.create_bucket(Bucket="library")
    return UrlPath("s3://library")

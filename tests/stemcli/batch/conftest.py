"""Fixture for the fake cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stemcli.batch.fake_cluster import Cluster


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cluster:
    return Cluster(monkeypatch, tmp_path)

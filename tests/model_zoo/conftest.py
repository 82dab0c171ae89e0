"""Fixture for a user's zoo in a temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "zoo"
    monkeypatch.setenv("STEM_HOME", str(folder))
    return folder

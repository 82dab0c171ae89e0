from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def bundled_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No ffmpeg on the PATH: only the one that imageio-ffmpeg carries is left."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def mixtures() -> list[Path]:
    """Real songs."""
    folder = os.environ.get("STEM_TEST_AUDIO")
    if not folder:
        pytest.skip("STEM_TEST_AUDIO names no folder with real recordings")
    return sorted((Path(folder) / "mixtures").iterdir())

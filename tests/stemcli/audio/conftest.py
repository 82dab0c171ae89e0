from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def bundled_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No ffmpeg on the PATH: only the one that imageio-ffmpeg carries is left."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def mixtures(real_audio: Path) -> list[Path]:
    """Real songs."""
    return sorted((real_audio / "mixtures").iterdir())

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def bundled_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove ffmpeg from PATH, so that only imageio-ffmpeg's is left."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def mixtures(real_audio: Path) -> list[Path]:
    """Real recordings of songs."""
    return sorted((real_audio / "mixtures").iterdir())

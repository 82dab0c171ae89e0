"""The command line in this process, in an empty folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stemcli.cli.app import stem

Typed = Callable[..., Result]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Run ``stem`` with these words, in ``tmp_path``, with a zoo of its own and without MUSDB18."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEM_HOME", str(tmp_path / ".zoo"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("MUSDB_PATH", raising=False)
    return lambda *words: CliRunner().invoke(stem, [*map(str, words)], prog_name="stem")

"""Runs the command line in this process, in an empty folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stemcli.cli.app import stem

RunStem = Callable[..., Result]


@pytest.fixture
def run_stem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStem:
    """Run ``stem`` with these arguments in ``tmp_path``, with its own zoo and without MUSDB18."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEM_HOME", str(tmp_path / ".zoo"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("MUSDB_PATH", raising=False)
    return lambda *arguments: CliRunner().invoke(stem, [*map(str, arguments)], prog_name="stem")

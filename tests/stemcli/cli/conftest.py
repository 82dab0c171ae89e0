"""The command line in this process, with an engine that writes text files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stemcli.cli.app import stem
from tests.stemcli.batch.fake import FakeSession

Typed = Callable[..., Result]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Run ``stem`` with these words, in an empty folder that is ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEM_HOME", str(tmp_path / ".zoo"))
    monkeypatch.setenv("COLUMNS", "100")
    return lambda *words: CliRunner().invoke(stem, [str(word) for word in words], prog_name="stem")


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One song after the other, so that what is shown has one order."""
    monkeypatch.setattr("stemcli.engine.session.Session", FakeSession)
    monkeypatch.setattr("stemcli.batch.crew.AT_THE_ENDS", 0)

"""The command line in this process, with an engine that writes text files or the real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from stemcli.cli.app import stem
from tests.model_zoo.small import small_network
from tests.stemcli.batch.fake import FakeSession

Typed = Callable[..., Result]

ROOT = Path(__file__).parents[3]

QUICK = ("--segment", "0.5")
"""An untrained network may hear little at once; it is ten times as fast."""


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Run ``stem`` with these words, in an empty folder that is ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEM_HOME", str(tmp_path / ".zoo"))
    monkeypatch.setenv("COLUMNS", "100")
    return lambda *words: CliRunner().invoke(stem, [str(word) for word in words], prog_name="stem")


@pytest.fixture
def tiny(typed: Typed) -> Typed:
    """The same with the real engine and a zoo of one small network, which gives vocals and band."""
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))

    def type_with_model(command: str, *words: object) -> Result:
        model = () if "-m" in words else ("-m", "tiny")
        return typed(command, *model, *QUICK, *words)

    return type_with_model


@pytest.fixture
def processes(tiny: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real ones, in ``tmp_path``, find our sources and that zoo, and take one thread each."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """No song is begun before the one before it has ended."""
    monkeypatch.setattr("stemcli.batch.executor.AT_THE_ENDS", 0)


@pytest.fixture
def fake_engine(one_by_one: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One song after the other, so that what is shown has one order."""
    monkeypatch.setattr("stemcli.engine.session.Session", FakeSession)

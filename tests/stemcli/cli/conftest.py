"""Fixtures that run the command line in this process, with the fake or the real engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from stemcli.batch.report import BatchReport
from stemcli.cli.app import stem
from stemcli.engine.options import Options
from tests.model_zoo.small import small_network
from tests.stemcli.batch.fake import FakeSession

RunStem = Callable[..., Result]

ROOT = Path(__file__).parents[3]

QUICK = ("--segment", "0.5")
"""Short chunks, which make the untrained network ten times as fast."""


@pytest.fixture
def run_stem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunStem:
    """Run ``stem`` with the given arguments, with the empty ``tmp_path`` as current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEM_HOME", str(tmp_path / ".zoo"))
    monkeypatch.setenv("STEM_CONFIG", str(tmp_path / ".settings/config.toml"))
    monkeypatch.setenv("COLUMNS", "100")
    return lambda *args: CliRunner().invoke(stem, [str(arg) for arg in args], prog_name="stem")


@pytest.fixture
def run_tiny(run_stem: RunStem) -> RunStem:
    """Run ``stem`` with the real engine and a small network that gives vocals and band."""
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))

    def run_with_model(command: str, *args: object) -> Result:
        model = () if "-m" in args else ("-m", "tiny")
        return run_stem(command, *model, *QUICK, *args)

    return run_with_model


@pytest.fixture
def processes(run_tiny: RunStem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let subprocesses in ``tmp_path`` find our sources and that zoo, and use one thread each."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def one_song_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Songs are separated strictly one after the other."""
    monkeypatch.setattr("stemcli.batch.executor.AT_THE_ENDS", 0)


@pytest.fixture
def fake_engine(one_song_at_a_time: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake engine, one song after the other, so that the output has a fixed order."""
    monkeypatch.setattr("stemcli.engine.session.Session", FakeSession)


@dataclass
class Engine:
    """Notes the request and raises ``error`` if there is one."""

    options: Options = field(default_factory=Options)
    jobs: int = 0
    retries: int = 0
    error: Exception | None = None

    def __call__(
        self, songs: Any, options: Options, *, jobs: int, retries: int = 0, **more: Any
    ) -> BatchReport:
        self.options, self.jobs, self.retries = options, jobs, retries
        if self.error:
            raise self.error
        return BatchReport((), 0.0)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    monkeypatch.setattr("stemcli.batch.run.separate_songs", engine)
    return engine


Store = Callable[[str], Path]


@pytest.fixture
def store(tmp_path: Path, run_stem: RunStem) -> Store:
    """Write the settings file of ``run_stem``."""

    def write(text: str) -> Path:
        file = tmp_path / ".settings/config.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file

    return write

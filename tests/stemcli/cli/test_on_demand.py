"""Separating with a public model that is not installed: a local server plays the hub."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import soundfile

import stemcli
from model_zoo.catalogue.cards import Card, is_known
from model_zoo.catalogue.install import install
from model_zoo.catalogue.public import PublicModel
from model_zoo.errors import UsageError
from stemcli.cli import models_pull
from tests.audio_files import noisy_tones
from tests.model_zoo.catalogue import hub as server
from tests.model_zoo.catalogue.hub import Hub, status, whole
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import error_line
from tests.stemcli.cli.schema import validate_lines

IMPORTERS = import_module("model_zoo.importers.convert")
OPTIONS = ("--precision", "fp32", "-o", "out")
STEMS = ("vocals",)


def install_small(model: PublicModel, paths: list[Path]) -> Card:
    return install(small_network(), Card(model.name, "melrnn", stems=STEMS, residual="band"))


@pytest.fixture
def hub(tmp_path: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / ".cache"))
    monkeypatch.chdir(tmp_path)
    soundfile.write("song.wav", noisy_tones(8000, 16_000), 16_000, "FLOAT")
    with server.serve() as running:
        yield running


@pytest.fixture(autouse=True)
def catalogue(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def model(name: str, path: str, **facts: str) -> PublicModel:
        file = hub.file(whole) if path == "" else hub.file(status(404))
        return PublicModel(name, "melrnn", (file,), STEMS, residual="band", **facts)

    models = {
        "free": model("free", ""),
        "dear": model("dear", "", licence="CC BY-NC 4.0", consent="non-commercial"),
        "own": model("own", "", licence="CC BY-NC 4.0", consent="non-commercial"),
        "odd": model("odd", "", variant="FNO"),
    }
    monkeypatch.setattr("stemcli.engine.on_demand.find_public", models.get)
    monkeypatch.setattr(IMPORTERS, "install_public", install_small)


def test_a_model_is_downloaded_once(hub: Hub, run_stem: RunStem) -> None:
    result = run_stem("separate", "song.wav", "-m", "free", *OPTIONS)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in Path("out/song").iterdir()) == ["band.wav", "vocals.wav"]
    count = len(hub.requests)
    assert count > 0
    assert run_stem("separate", "song.wav", "-m", "free", *OPTIONS, "--overwrite").exit_code == 0
    assert len(hub.requests) == count


def test_the_download_is_reported(run_stem: RunStem) -> None:
    result = run_stem("separate", "song.wav", "-m", "free", *OPTIONS, "--json")
    events = validate_lines(result.stdout)
    assert {each["track"] for each in events if each["event"] == "download_progress"} == {"free"}


def test_python_downloads_too(hub: Hub) -> None:
    result = stemcli.separate("song.wav", model="free", output="out", device="cpu")
    assert sorted(result.outputs) == ["band", "vocals"]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("dear", "The weights of dear may not be used commercially (licence: CC BY-NC 4.0). To"
         " accept that, run: stem models pull dear --accept-licence"),
        ("odd", "odd is a network of the architecture melrnn with FNO, which cannot be built yet"),
    ],
)  # fmt: skip
def test_nothing_is_fetched_without_consent(
    model: str, says: str, hub: Hub, run_stem: RunStem
) -> None:
    line = error_line(run_stem("separate", "song.wav", "-m", model, *OPTIONS), 2)
    assert says in line
    with pytest.raises(UsageError):
        stemcli.separate("song.wav", model=model, output="out")
    assert hub.requests == []
    assert not Path("out").exists()


def test_consent_for_several_models_takes_one_command(run_stem: RunStem) -> None:
    line = error_line(run_stem("separate", "song.wav", "-m", "dear", "-m", "own", *OPTIONS), 2)
    assert "The weights of dear may not" in line
    assert line.endswith(
        "The same is true of own. To accept that, run: stem models pull dear own --accept-licence"
    )


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("--stems", "drums"), "Unknown stem 'drums': known: vocals, band. "),
        (("--filename", "{stme}.{ext}"), "--filename: unknown field {stme}, did you mean {stem}?"),
    ],
)
def test_mistakes_are_found_before_a_download(
    wrong: tuple[str, str], says: str, hub: Hub, run_stem: RunStem
) -> None:
    line = error_line(run_stem("separate", "song.wav", "-m", "free", *OPTIONS, *wrong), 2)
    assert says in line
    assert hub.requests == []


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked(
    answer: bool, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = []
    monkeypatch.setattr(models_pull, "can_ask", lambda: True)
    monkeypatch.setattr(models_pull, "ask", lambda text: questions.append(text) or answer)
    result = run_stem("separate", "song.wav", "-m", "dear", *OPTIONS)
    assert len(questions) == 1
    assert is_known("dear") is answer
    assert (result.exit_code == 0) is answer


def test_a_failed_download_leaves_no_model(
    run_stem: RunStem, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.behaviours.clear()
    line = error_line(run_stem("separate", "song.wav", "-m", "free", *OPTIONS), 1)
    assert "cannot be downloaded" in line
    assert not is_known("free")
    assert not Path("out").exists()

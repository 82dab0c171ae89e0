"""``stem models pull`` and ``stem models path`` with a catalogue of the test and a local server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import click
import pytest

from model_zoo.catalogue.cards import Card, card_names, card_path, find, is_known
from model_zoo.catalogue.download import cached_path
from model_zoo.catalogue.install import install
from model_zoo.catalogue.public import public_models
from model_zoo.errors import StemError
from model_zoo.files import sha256
from stemcli.cli import models_pull
from tests.model_zoo.catalogue import hub as server
from tests.model_zoo.catalogue.hub import CONTENT, Hub, status, whole
from tests.model_zoo.catalogue.public_models import FakePublic, install_small
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import error_line, errors
from tests.stemcli.cli.schema import validate_lines

IMPORTERS = import_module("model_zoo.importers.convert")
PULLED = import_module("model_zoo.catalogue.pulled")
Catalogue = dict[str, FakePublic]


@pytest.fixture
def hub(tmp_path: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("STEM_CACHE", str(tmp_path / ".cache"))
    with server.serve() as running:
        yield running


@pytest.fixture
def catalogue(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """Two free networks, a restricted one, and one whose file is gone."""
    models = {
        "one": FakePublic("one", (hub.file(whole),)),
        "two": FakePublic("two", (hub.file(whole),)),
        "dear": FakePublic("dear", (hub.file(whole),), "CC BY-NC 4.0", consent="non-commercial"),
        "gone": FakePublic("gone", (replace(hub.file(whole), url=hub.add("/x", status(404))),)),
    }

    def find_public(name: str) -> FakePublic | None:
        return models.get(name.lower())

    monkeypatch.setattr("model_zoo.catalogue.public.find_public", find_public)
    monkeypatch.setattr(IMPORTERS, "install_public", install_small)
    return models


def test_a_model_is_pulled(catalogue: Catalogue, run_stem: RunStem) -> None:
    result = run_stem("models", "pull", "one")
    assert result.exit_code == 0
    assert result.stdout == ""
    path = card_path("one").with_suffix(".safetensors")
    assert result.stderr.splitlines()[-1].startswith("one: ")
    assert result.stderr.endswith(f", licence not stated, {path}\n")
    assert not cached_path(catalogue["one"].files[0]).exists()
    assert run_stem("models", "path", "one").stdout == f"{path}\n"
    assert run_stem("models", "verify", "one").exit_code == 0


def test_several_are_pulled_one_after_the_other(
    catalogue: Catalogue, run_stem: RunStem, hub: Hub
) -> None:
    """A name may be another spelling of one that was given."""
    result = run_stem("models", "pull", "one", "two", "ONE", "--keep")
    assert result.exit_code == 0
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["one", "two"]
    assert hub.sent == len(CONTENT)
    assert cached_path(catalogue["one"].files[0]).read_bytes() == CONTENT


def test_json(catalogue: Catalogue, run_stem: RunStem) -> None:
    result = run_stem("models", "pull", "one", "two", "--json")
    documents = validate_lines(result.stdout)
    added = [each for each in documents if each["event"] == "model_added"]
    assert [each["card"]["name"] for each in added] == ["one", "two"]
    progress = [each for each in documents if each["event"] == "download_progress"]
    assert {each["track"] for each in progress} == {"one", "two"}
    assert all(0 <= each["bytes_done"] <= each["bytes_total"] for each in progress)
    (path,) = validate_lines(run_stem("models", "path", "one", "--json").stdout, "models_path")
    assert path == {"name": "one", "path": str(card_path("one").with_suffix(".safetensors"))}


def test_a_failure_of_one_model_does_not_end_the_others(
    catalogue: Catalogue, run_stem: RunStem
) -> None:
    result = run_stem("models", "pull", "gone", "one", "--json")
    assert result.exit_code == 1
    first, last = errors(result.stderr)
    assert first.startswith("Error: gone: x cannot be downloaded: 127.0.0.1:")
    assert last == ("Error: 1 of 2 models are in your zoo; not gone. The errors above say why")
    assert validate_lines(result.stdout)[-1]["event"] == "error"
    assert is_known("one")


def test_a_failure_of_the_only_model(catalogue: Catalogue, run_stem: RunStem) -> None:
    line = error_line(run_stem("models", "pull", "gone"), 1)
    assert line.startswith("Error: x cannot be downloaded: 127.0.0.1:")
    assert line.endswith("Set STEM_MIRROR to the address of a server that has it")


def test_an_unknown_name_is_found_before_anything_is_fetched(
    catalogue: Catalogue, run_stem: RunStem, hub: Hub
) -> None:
    line = error_line(run_stem("models", "pull", "one", "nope"), 2)
    assert line.startswith("Error: Unknown model 'nope': there is no public model of this name.")
    assert hub.requests == []


def test_a_network_that_cannot_be_built_is_refused_before_anything_is_fetched(
    catalogue: Catalogue, run_stem: RunStem, hub: Hub
) -> None:
    """Also before its licence is shown, and for all models of the command."""
    catalogue["dear"] = replace(catalogue["dear"], refusal="dear cannot be built yet")
    line = error_line(run_stem("models", "pull", "one", "dear", "--accept-licence"), 2)
    assert line == "Error: dear cannot be built yet. See: stem models list --all"
    assert hub.requests == []


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("htdemuc", "did you mean 'htdemucs'? Try: stem models pull htdemucs"),
        ("kim", "did you mean one of mel_band_roformer_kim, mel_band_roformer_unwa_kim_ft, "),
        ("gaboxfv", "did you mean one of mel_band_roformer_gabox_inst_gaboxfv3, "),
        ("umxl", "Download all from zenodo.org/records/5069601, then run: stem models convert "),
        ("uvr-mdx-net-inst", "weights of MDX-Net cannot be used yet."),
        ("xyzzy", "there is no public model of this name. See: stem models list --all"),
    ],
)
def test_a_name_that_the_catalogue_lacks(typed: str, expected: str, run_stem: RunStem) -> None:
    line = error_line(run_stem("models", "pull", typed), 2)
    assert line.startswith(f"Error: Unknown model {typed!r}: ")
    assert expected in line


def test_a_bundled_model_needs_no_download(run_stem: RunStem) -> None:
    """So that a script that prepares a machine may name any model."""
    result = run_stem("models", "pull", "melroformer")
    assert result.exit_code == 0
    assert result.stderr == "melroformer: bundled with Stem, there is nothing to download\n"


def test_a_preset_stands_for_its_models() -> None:
    """By hand, from demucs' htdemucs_ft: drums, bass, other, vocals; one that is named twice."""
    found = models_pull.find_models(["htdemucs_ft", "htdemucs_ft_bass"])
    stems = ("drums", "bass", "other", "vocals")
    assert [model.name for model in found] == [f"htdemucs_ft_{stem}" for stem in stems]


TERMS = (
    "The weights of dear by Ada may not be used commercially (licence: CC BY-NC 4.0, according"
    " to its authors)"
)


def test_a_script_accepts_with_an_option(catalogue: Catalogue, run_stem: RunStem, hub: Hub) -> None:
    """Nothing is fetched before the licence of every model is accepted."""
    line = error_line(run_stem("models", "pull", "one", "dear"), 2)
    assert line == f"Error: {TERMS}. To accept that, add --accept-licence"
    assert hub.requests == []
    result = run_stem("models", "pull", "dear", "--accept-licence")
    assert result.exit_code == 0
    assert result.stderr.startswith(f"{TERMS}.\n")
    run_stem("models", "remove", "dear")
    again = run_stem("models", "pull", "dear", "--accept-licence")
    assert TERMS not in again.stderr
    assert run_stem("models", "pull", "dear").stderr.startswith("dear: is in your zoo already, ")


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked_once(
    answer: bool, catalogue: Catalogue, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def confirm(text: str, *, err: bool) -> bool:
        assert err
        asked.append(text)
        return answer

    monkeypatch.setattr(models_pull, "can_ask", lambda: True)
    monkeypatch.setattr(click, "confirm", confirm)
    codes = [run_stem("models", "pull", "dear").exit_code for _ in range(2)]
    assert codes == ([0, 0] if answer else [2, 2])
    assert asked == [f"{TERMS}. Do you accept that?"] * (1 if answer else 2)
    assert is_known("dear") is answer


def test_an_interruption(
    catalogue: Catalogue, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("model_zoo.catalogue.transport.wait", interrupted)
    result = run_stem("models", "pull", "one", "two")
    assert result.exit_code == 130
    assert result.stderr == "Interrupted. To resume, run the same command again.\n"


def test_a_bug_of_an_importer_is_no_half_model(
    catalogue: Catalogue, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was downloaded is kept for the next attempt."""

    def broken(model: FakePublic, paths: list[Path]) -> None:
        raise StemError("net.bin has no layout that is known. Choose another model")

    monkeypatch.setattr(IMPORTERS, "install_public", broken)
    before = card_names()
    line = error_line(run_stem("models", "pull", "one"), 1)
    assert line == "Error: net.bin has no layout that is known. Choose another model"
    assert card_names() == before
    assert cached_path(catalogue["one"].files[0]).read_bytes() == CONTENT


def test_what_is_kept_is_removed_with_the_model(
    catalogue: Catalogue, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PULLED, "find_public", catalogue.get)
    run_stem("models", "pull", "one", "--keep")
    kept, weights = cached_path(catalogue["one"].files[0]), card_path("one")
    result = run_stem("models", "remove", "one", "--json")
    (document,) = validate_lines(result.stdout, "models_remove")
    removed = [Path(path) for path in document["removed"]]
    assert {*removed} == {weights, weights.with_suffix(".safetensors"), kept}
    assert not any(path.exists() for path in removed)
    line = error_line(run_stem("models", "remove", "one"), 2)
    assert line == (
        "Error: Unknown model 'one': it is not installed, and no download of it is left. See:"
        " stem models list"
    )


def test_what_has_arrived_of_a_download_is_removed(
    catalogue: Catalogue, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: the hidden file beside the place of the download, of a model that is not there."""
    monkeypatch.setattr(PULLED, "find_public", catalogue.get)
    place = cached_path(catalogue["one"].files[0])
    part = place.with_name(f".{place.name}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:1000])
    assert run_stem("models", "remove", "one").stderr == f"Removed {part}\n"
    assert not part.exists()


def test_a_download_of_another_model_is_kept(
    catalogue: Catalogue, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``ONE`` is another spelling of a model that is installed, and not the name of one."""
    monkeypatch.setattr(PULLED, "find_public", lambda name: catalogue.get(name.lower()))
    run_stem("models", "pull", "one", "--keep")
    assert run_stem("models", "remove", "ONE").exit_code == 2
    assert cached_path(catalogue["one"].files[0]).exists()


def test_the_path_of_a_bundled_model(run_stem: RunStem) -> None:
    path = Path(run_stem("models", "path", "spleeter_2stems").stdout.strip())
    assert sha256(path) == find("spleeter_2stems").sha256


def test_the_path_of_a_model_that_is_not_there(catalogue: Catalogue, run_stem: RunStem) -> None:
    assert "Unknown model 'nope'" in error_line(run_stem("models", "path", "nope"), 2)
    run_stem("models", "pull", "one")
    card_path("one").with_suffix(".safetensors").unlink()
    line = error_line(run_stem("models", "path", "one"), 2)
    assert line == "Error: The weights of one are not installed. See: stem models verify"


def test_verify_names_the_public_network(tmp_path: Path, run_stem: RunStem) -> None:
    """By hand: the metadata name the SHA-256 of the catalogue's file, or another."""
    digest = public_models()["htdemucs"].files[0].sha256
    card = Card("htdemucs", "melrnn", stems=("vocals",), residual="band")
    path = tmp_path / ".zoo/htdemucs.safetensors"
    for source, said, name in (
        (digest, "made from the published htdemucs, ", "htdemucs"),
        ("0" * 64, "not made from the published files, ", ""),
    ):
        install(small_network(), card, {"source_sha256": source}, overwrite=True)
        assert run_stem("models", "verify", "htdemucs").stdout == (
            f"htdemucs: undamaged, {said}{path}\n"
        )
        (state,) = json.loads(run_stem("models", "verify", "htdemucs", "--json").stdout)
        assert state["published_as"] == name
    path.unlink()
    line = error_line(run_stem("models", "verify", "htdemucs"), 1)
    assert line.endswith("Try: stem models remove htdemucs, then: stem models pull htdemucs")


def test_another_spelling_of_an_installed_model(run_stem: RunStem) -> None:
    install(small_network(), Card("htdemucs", "melrnn", stems=("vocals",), residual="band"))
    line = error_line(run_stem("models", "verify", "955717e8"), 2)
    assert line.startswith("Error: Unknown model '955717e8': it is installed as 'htdemucs'.")

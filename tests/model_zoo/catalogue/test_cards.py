"""Model cards, read back with the standard library's TOML reader, and their error messages."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_zoo import parsing
from model_zoo.catalogue import cards as cards_module
from model_zoo.catalogue.cards import Card, cards, find, zoo_home
from model_zoo.catalogue.names import check_new_name
from model_zoo.catalogue.scores import CardScore
from model_zoo.errors import CheckpointError, ConfigError, UnknownNameError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
STEM = TEXT.map(lambda text: text.replace(",", "").strip()).filter(bool)
SCORE = CardScore(dataset="d", stem="vocals", metric="SDR", definition="whole track", value=2.5)


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def minimal(name: str, **fields: object) -> str:
    return parsing.dumps({"name": name, "architecture": "melrnn", "stems": ["vocals"], **fields})


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo: Path) -> Path:
    """A package with one bundled model named ``given``."""
    folder = tmp_path / "bundled"
    write(folder, "given", minimal("given", description="from the package"))
    monkeypatch.setattr(cards_module, "BUNDLED", folder)
    return folder


@given(
    text=TEXT,
    stems=st.lists(STEM, min_size=1, max_size=3, unique=True),
    scores=st.lists(st.tuples(TEXT, NUMBER), max_size=2),
)
def test_a_card_is_read_back_from_toml(
    text: str, stems: list[str], scores: list[tuple[str, float]]
) -> None:
    card = Card(
        name="x",
        architecture="melrnn",
        description=text,
        stems=tuple(stems),
        overlap=0.5,
        scores=tuple(CardScore(name, name, "SDR", name, value) for name, value in scores),
    )
    assert Card.from_dict(tomllib.loads(card.to_toml())) == card


def test_outputs_are_stems_and_residual() -> None:
    without_residual = Card(name="x", architecture="melrnn", stems=("vocals", "bass"))
    assert without_residual.outputs == ("vocals", "bass")
    with_residual = Card(
        name="x", architecture="melrnn", stems=("vocals",), residual="instrumental"
    )
    assert with_residual.outputs == ("vocals", "instrumental")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "My Model"}, "a name has lower-case letters"),
        ({"stems": ()}, "stems must name at least one stem"),
        ({"residual": "vocals"}, "two outputs have the same name"),
        ({"residual": "lead, vox"}, r"no comma .* found 'lead, vox'"),
        ({"stems": ("vocals", " bass")}, "no space around it, found ' bass'"),
        ({"stems": ("",)}, "a stem needs a name"),
        ({"overlap": 1.0}, r"overlap must be from 0 to 0\.95, found 1\.0"),
        ({"sha256": "abc"}, "sha256 must be 64 hexadecimal digits"),
        ({"file": "../other"}, "file must be a plain name"),
        ({"sample_rate": 0}, "sample_rate must be positive"),
    ],
)
def test_invalid_cards_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Card(**{"name": "x", "architecture": "melrnn", "stems": ("vocals",), **fields})


def test_an_undefined_score_is_refused() -> None:
    with pytest.raises(ConfigError, match="SDR of vocals is not finite"):
        CardScore("d", "vocals", "SDR", "whole track", float("nan"))


def test_the_variable_sets_the_zoo_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STEM_HOME", str(tmp_path))
    assert zoo_home() == tmp_path
    monkeypatch.delenv("STEM_HOME")
    assert zoo_home().name == "stem"


def test_bundled_and_own_cards_are_listed(bundled: Path, zoo: Path) -> None:
    write(zoo, "mine", minimal("mine"))
    errors: list[CheckpointError] = []
    assert list(cards(errors.append)) == ["given", "mine"]
    write(zoo, "torn", "]")
    assert list(cards(errors.append)) == ["given", "mine"]
    assert [str(zoo / "torn.toml") in str(error) for error in errors] == [True]
    assert find("mine").name == "mine"


def test_an_own_card_cannot_take_a_bundled_name(bundled: Path, zoo: Path) -> None:
    write(zoo, "given", minimal("given", description="an impostor"))
    assert find("given").description == "from the package"
    with pytest.raises(
        ConfigError, match=r"'given' is a bundled model. Use another name, e.g. my-given"
    ):
        check_new_name("given")


def test_an_invalid_name_is_refused(zoo: Path) -> None:
    with pytest.raises(ConfigError, match=r"name: a name has lower-case letters.*'My Model'"):
        check_new_name("My Model")


def test_an_unknown_name_gets_a_suggestion(bundled: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'givn': did you mean 'given'.*stem models list"):
        find("givn")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "cannot be used"),
        (minimal("mine", licens="MIT"), "unknown key 'licens', did you mean 'licence'"),
        (minimal("other"), "calls itself 'other'"),
        ('name = "mine"', "key 'architecture' is missing"),
        ("\xff", "cannot be used"),
    ],
)
def test_a_damaged_card_is_reported(bundled: Path, zoo: Path, text: str, message: str) -> None:
    write(zoo, "mine", text)
    with pytest.raises(CheckpointError, match=message):
        find("mine")
    assert find("given").name == "given"


def test_bundled_cards_match_their_files() -> None:
    paths = sorted(cards_module.BUNDLED.glob("*.toml"))
    names = {path.stem for path in paths}
    assert cards_module.DEFAULT_MODEL in names
    for path in paths:
        card = Card.from_toml(path)
        assert path.with_name(card.file).stat().st_size == card.size
        assert {*card.better} <= names - {card.name}


def test_the_licence_of_spleeter_is_bundled_with_its_weights() -> None:
    card = find("spleeter_2stems")
    text = (cards_module.BUNDLED / card.licence_file).read_text("utf-8")
    assert card.licence == "MIT"
    assert "Copyright (c) 2019-present, Deezer SA" in text
    assert "The above copyright notice and this permission notice shall be included" in text


def test_cards_do_not_import_torch() -> None:
    heavy = "sorted({'torch', 'numpy'} & set(sys.modules))"
    script = f"import sys, model_zoo.catalogue.cards; print({heavy})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"

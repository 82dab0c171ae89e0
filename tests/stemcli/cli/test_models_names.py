"""Names of models that the catalogue knows otherwise: own models, other spellings, presets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_zoo.catalogue.cards import Card, is_known, zoo_home
from model_zoo.catalogue.install import install
from model_zoo.catalogue.public import presets
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import error_line

ALIAS, PUBLIC = "mdx23c", "mdx23c_8kfft_instvoc_hq"
"""A name that a public network has in other programs, and its own."""


def own(name: str) -> None:
    """Install a model of the user."""
    install(small_network(), Card(name, "melrnn", stems=("vocals",), residual="band"))


def test_a_model_of_the_user_may_have_the_name_that_others_give_a_public_one(
    run_stem: RunStem,
) -> None:
    own(ALIAS)
    facts = json.loads(run_stem("models", "info", ALIAS, "--json").stdout)
    assert (facts["name"], facts["architecture"]) == (ALIAS, "melrnn")
    verified = run_stem("models", "verify", ALIAS)
    assert "published" not in verified.stdout + verified.stderr
    assert run_stem("models", "remove", ALIAS).exit_code == 0
    assert not is_known(ALIAS)


@pytest.mark.parametrize("name", [ALIAS, PUBLIC, "MDX23C-8KFFT-InstVoc_HQ.ckpt"])
def test_an_installed_public_model_is_shown_under_all_its_names(
    name: str, run_stem: RunStem
) -> None:
    own(PUBLIC)
    facts = json.loads(run_stem("models", "info", name, "--json").stdout)
    assert (facts["name"], facts["installed"]) == (PUBLIC, True)


def test_a_file_comes_before_a_public_model_of_its_name(
    tmp_path: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("MDX23C-8KFFT-InstVoc_HQ.ckpt").write_bytes(b"other")
    line = error_line(run_stem("models", "info", "MDX23C-8KFFT-InstVoc_HQ.ckpt"), 2)
    assert line.startswith("Error: MDX23C-8KFFT-InstVoc_HQ.ckpt is not a .safetensors file.")


def test_a_preset_is_shown(run_stem: RunStem) -> None:
    shown = run_stem("models", "info", "karaoke")
    assert shown.exit_code == 0, shown.output
    for member in presets()["karaoke"].members:
        assert member in shown.stdout
    assert "Try: stem models pull karaoke" in shown.stderr


def test_a_card_of_an_unknown_architecture_spoils_no_other_error(run_stem: RunStem) -> None:
    """A newer version of the program may have written it."""
    own("newer")
    card = zoo_home() / "newer.toml"
    card.write_text(card.read_text("utf-8").replace('"melrnn"', '"future_net"'), "utf-8")
    line = error_line(run_stem("separate", "song.wav", "--stems", "drumsx"), 2)
    assert line.startswith("Error: Unknown stem 'drumsx'")

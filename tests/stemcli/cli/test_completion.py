"""Completion: candidates by Click's protocol, and what is imported for them.

Expected candidates are the names in the registries and tables that they come from.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model_zoo import registry
from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from stemcli.cli.app import COMMANDS
from stemcli.cli.completion import (
    answer,
)
from stemcli.settings import SETTINGS
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import ROOT, RunStem
from tests.stemcli.cli.test_lazy import HEAVY
from trainers.recipes import recipe_names

Complete = Callable[..., list[str]]

BUNDLED = ["melroformer", "spleeter_2stems"]


@pytest.fixture
def complete(
    run_stem: RunStem, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Complete:
    """Candidates for the last word, as bash receives them; nothing may go to standard error."""

    def run(*words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", "\n".join(["stem", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        assert answer("bash_complete") == 0
        captured = capfdbinary.readouterr()
        assert captured.err == b""
        return [line.removeprefix("plain,") for line in captured.out.decode().split("\n") if line]

    return run


def test_commands(complete: Complete) -> None:
    assert complete("") == [name for name, entry in COMMANDS.items() if entry.is_listed]
    assert complete("mod") == ["models"]
    assert complete("models", "") == [
        "list", "info", "advise", "pull", "path", "verify", "add", "convert", "remove",
    ]  # fmt: skip
    assert complete("eval", "s") == ["speed"]
    assert complete("help", "mod") == ["models"]
    assert complete("help", "eval", "s") == ["speed"]
    assert complete("help", "separate", "") == []


def test_options_and_their_choices(complete: Complete) -> None:
    assert complete("separate", "--form") == ["--format"]
    assert complete("separate", "--format", "f") == ["flac"]
    assert complete("separate", "--format", "=", "f") == ["flac"]  # bash splits at the sign
    assert complete("batch", "Music", "--device", "c") == ["cpu", "cuda"]
    assert complete("completion", "") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("command", [["separate"], ["batch"], ["eval", "musdb"], ["eval", "speed"]])
def test_models(command: list[str], complete: Complete) -> None:
    """Files are proposed where no name fits; ``-n`` is demucs's option."""
    assert complete(*command, "--model", "") == BUNDLED
    assert complete(*command, "-m", "melr") == ["melroformer"]
    assert complete(*command, "-m", "runs/m") == ["file,runs/m"]
    if command[0] != "eval":
        assert complete(*command, "-n", "melr") == ["melroformer"]


def test_only_models_that_fit_and_are_installed(complete: Complete, tmp_path: Path) -> None:
    install(small_network(), Card("mine", "melrnn", stems=("vocals",), residual="band"))
    install(small_network(), Card("lost", "melrnn", stems=("vocals",), residual="band"))
    (tmp_path / ".zoo/lost.safetensors").unlink()
    assert complete("separate", "--model", "") == [*BUNDLED, "mine"]
    assert complete("separate", "--phase-model", "") == ["file,"]
    assert complete("models", "verify", "") == [*BUNDLED, "lost", "mine"]
    assert complete("models", "remove", "") == ["lost", "mine"]
    assert complete("models", "info", "mi") == ["mine"]
    assert complete("models", "info", "mul") == ["multi_scale_tfswa"]
    assert complete("separate", "-m", "mine", "--stems", "") == ["vocals", "band"]


def test_public_models(complete: Complete) -> None:
    """Expected: names of the catalogue, and stems that only its models give."""
    assert complete("models", "info", "htdemucs_6") == ["htdemucs_6s"]
    assert complete("models", "list", "--stem", "snar") == ["snare"]
    assert complete("models", "pull", "scnet_x") == ["scnet_xl"]
    assert complete("models", "pull", "scnet_xl", "scnet_") == [
        *("scnet_huge", "scnet_large", "scnet_masked_small", "scnet_masked_xl", "scnet_small")
    ]
    assert complete("separate", "--model", "htdemucs_6") == ["htdemucs_6s"]
    assert complete("separate", "--phase-model", "htdemucs_6") == ["file,htdemucs_6"]
    assert complete("models", "path", "htdemucs_6") == []  # not installed


def test_networks_that_cannot_be_built_are_not_proposed(complete: Complete) -> None:
    """By hand: SCNet with transformers is in the catalogue and refused."""
    assert complete("models", "pull", "scnet_tran") == []
    assert complete("models", "info", "scnet_tran") == ["scnet_tran_small"]


def test_stems(complete: Complete, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete("separate", "--stems", "") == ["vocals", "instrumental"]
    assert complete("separate", "--stems", "vocals,") == ["vocals,instrumental"]
    assert complete("separate", "--stems", "instrumental,vo") == ["instrumental,vocals"]
    assert complete("separate", "--two-stems", "i") == ["instrumental"]


def test_stems_of_the_model_in_the_settings(
    complete: Complete, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(small_network(), Card("mine", "melrnn", stems=("vocals",), residual="rest"))
    monkeypatch.setenv("STEM_MODEL", "mine")
    assert complete("separate", "--stems", "") == ["vocals", "rest"]


def test_training(complete: Complete) -> None:
    assert complete("train", "--recipe", "") == [*recipe_names()]
    assert complete("tune", "mel") == ["melroformer", "melrnn", "melunet", "mel_band_roformer"]
    assert complete("tune", "") == [*registry.ARCHITECTURES]
    assert complete("tune", "melrnn", "--recipe", "tune-melr") == [
        "tune-melrnn", "tune-melroformer",
    ]  # fmt: skip
    assert complete("train", "--from", "spl") == ["spleeter_2stems"]
    assert complete("train", "--from", "runs/") == ["file,runs/"]
    assert complete("train", "--recipe", "mine.y") == ["file,mine.y"]


def test_zsh_and_fish_explain_settings(
    run_stem: RunStem, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """bash shows no text beside its candidates."""
    monkeypatch.setenv("COMP_WORDS", "stem config get bit-d")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert answer("zsh_complete") == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert lines == ["plain", "bit-depth", SETTINGS["bit_depth"].meaning]


def test_settings(complete: Complete) -> None:
    assert complete("config", "set", "") == [*SETTINGS]
    assert complete("config", "get", "bit") == ["bit_depth", "bitrate"]
    assert complete("config", "unset", "bit-") == ["bit-depth"]
    assert complete("config", "set", "format", "o") == ["ogg", "opus"]
    assert complete("config", "set", "overwrite", "") == ["true", "false"]
    assert complete("config", "set", "stems", "vocals,") == ["vocals,instrumental"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["separate", "so"], "file"),
        (["separate", "x", "--output", "so"], "file"),
        (["batch", "so"], "dir"),
        (["batch", "Music", "--report", "so"], "file"),
        (["train", "--data", "so"], "file"),
        (["train", "--validation", "so"], "file"),
        (["train", "--output", "so"], "dir"),
        (["tune", "melrnn", "--space", "so"], "file"),
        (["tune", "melrnn", "--output", "so"], "dir"),
        (["data", "check", "so"], "file"),
        (["models", "add", "so"], "file"),
        (["eval", "folder", "so"], "dir"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_files_and_folders(words: list[str], kind: str, complete: Complete) -> None:
    assert complete(*words) == [f"{kind},so"]


@pytest.mark.parametrize(
    "words", [["nonsense", ""], ["separate", "", "--model", ""], ["separate", "--bogus", "x", ""]]
)
def test_unfinished_and_wrong_lines(words: list[str], complete: Complete) -> None:
    complete(*words)


def test_damaged_files_are_passed_over(
    complete: Complete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, name in ((".zoo", "torn.toml"), (".settings", "config.toml")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(b"\xff]")
    monkeypatch.setenv("STEM_JOBS", "many")
    assert complete("separate", "--model", "") == BUNDLED
    assert complete("config", "set", "form") == ["format"]
    assert complete("models", "remove", "") == ["torn"]
    monkeypatch.setattr("model_zoo.catalogue.cards.cards", lambda on_damage: 1 / 0)
    assert complete("separate", "--model", "") == []


def test_unknown_requests() -> None:
    assert answer("tcsh_complete") == 1
    assert answer("bash_dance") == 1


SPY = """
import sys
from stemcli.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *{name.split(".")[0] for name in sys.modules})
"""


def run_python(code: str, words: list[str]) -> str:
    environment = {
        **os.environ,
        "_STEM_COMPLETE": "zsh_complete",
        "COMP_WORDS": " ".join(["stem", *words]) + " ",
        "COMP_CWORD": str(len(words) + 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True,
        cwd=ROOT,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("words", "candidate"),
    [
        (["separate", "--model"], "melroformer"),
        (["separate", "--stems"], "vocals"),
        (["models", "info"], "melrnn"),
        (["config", "set", "format"], "flac"),
        (["train", "--recipe"], "quick"),
        (["tune"], "melrnn"),
        (["eval", "musdb", "--model"], "melroformer"),
        (["eval", "speed", "--model"], "melroformer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_completion_loads_nothing_heavy(words: list[str], candidate: str) -> None:
    """In a process of its own, through the real entry point."""
    *candidates, loaded = run_python(SPY, words).splitlines()
    assert candidate in candidates
    assert set(loaded.split()[1:]) & (HEAVY - {"trainers"}) == set()

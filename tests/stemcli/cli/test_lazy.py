"""Imports of each command, read from ``sys.modules`` of a real process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from model_zoo.errors import MissingExtraError
from stemcli.cli.app import COMMANDS, stem
from stemcli.cli.lazy import CommandEntry, LazyGroup

ROOT = Path(__file__).parents[3]
HEAVY = {
    "torch",
    "numpy",
    "rich",
    "ray",
    "trainers",
    "scipy",
    "soundfile",
    "ffmpeg",
    "einops",
    "huggingface_hub",
    "matplotlib",
    "pooch",
    "requests",
    "yaml",
}
SPY = """
import sys
from stemcli.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *{name.split(".")[0] for name in sys.modules})
"""


def loaded_by(*args: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", SPY, *args], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["--version"],
        ["separate", "--help"],
        ["batch", "--help"],
        ["models", "--help"],
        ["models", "list", "--json"],
        ["models", "info", "--help"],
        ["models", "pull", "--help"],
        ["models", "advise", "--help"],
        ["models", "path", "spleeter_2stems"],
        ["config", "show", "--json"],
        ["completion", "fish"],
    ],
    ids=" ".join,
)
def test_help_and_lists_load_nothing_heavy(args: list[str]) -> None:
    assert loaded_by(*args) & HEAVY == set()


@pytest.mark.parametrize(
    "args",
    [["train"], ["tune"], ["data", "check"], ["eval", "musdb"], ["eval", "speed"]],
    ids=" ".join,
)
def test_help_of_trainers_loads_nothing_else_heavy(args: list[str]) -> None:
    assert loaded_by(*args, "--help") & HEAVY == {"trainers"}


def test_help_of_the_root_loads_no_command() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SPY.replace('.split(".")[0]', ""), "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    assert loaded & {entry.target.split(":")[0] for entry in COMMANDS.values()} == set()


def group(target: str, extra: str) -> LazyGroup:
    return LazyGroup("tool", table={"learn": CommandEntry(target, "Learn.", extra)})


@pytest.fixture
def broken_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that lack a third-party package on import or when run, and one that lacks ours."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "needy_import.py").write_text("import no_such_package\n")
    (tmp_path / "needy_run.py").write_text(
        "import click\n@click.command()\ndef command(): import no_such_package.part\n"
    )
    (tmp_path / "our_defect.py").write_text("import stemcli.no_such_module\n")


@pytest.mark.usefixtures("broken_modules")
@pytest.mark.parametrize("module", ["needy_import", "needy_run"])
def test_a_missing_package_names_the_extra(module: str) -> None:
    result = CliRunner().invoke(group(f"{module}:command", "train"), ["learn"])
    assert isinstance(result.exception, MissingExtraError)
    assert str(result.exception) == (
        "no_such_package is not installed. Try: pip install 'stemcli[train]'"
    )


@pytest.mark.usefixtures("broken_modules")
@pytest.mark.parametrize(("module", "extra"), [("our_defect", "train"), ("needy_import", "")])
def test_other_missing_modules_are_bugs(module: str, extra: str) -> None:
    result = CliRunner().invoke(group(f"{module}:command", extra), ["learn"])
    assert isinstance(result.exception, ModuleNotFoundError)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_row_of_the_table_has_a_command(name: str) -> None:
    command = stem.get_command(click.Context(stem), name)
    assert isinstance(command, click.Command)

"""Every command in unusual environments: it works, or reports in one message why it cannot.

Property: closed streams, missing user data or odd locales do not change the results of a command.
The commands are taken from the command tree itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from model_zoo.weights import save
from stemcli.cli.app import stem
from stemcli.cli.lazy import LazyGroup
from tests.model_zoo.small import small_network
from tests.stemcli.cli.results import errors
from tests.trainers.cluster.small import changes
from trainers.data.synthetic import render_songs

ROOT = Path(__file__).parents[1]
RATE = 16_000

SETS = [word for change in changes("melrnn") for word in ("--set", change)]
TINY = ("-m", "tiny.safetensors", "--segment", "0.5")
SONG = "scored"
"""A folder of a single stem; BSSEval takes seconds for a song of five."""


@dataclass(frozen=True)
class Row:
    """Arguments of a command, and the files it must write."""

    args: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    marks: tuple[pytest.MarkDecorator, ...] = ()
    needs_zoo: bool = False


ROWS = {
    "--help": Row(),
    "--version": Row(),
    "separate": Row(("song.wav", *TINY, "-o", "out"), ("out/song/vocals.wav",)),
    "batch": Row(("in", *TINY, "-o", "out"), ("out/a/vocals.wav", "out/b/vocals.wav")),
    "models list": Row(),
    "models advise": Row(("--stem", "band", "-d", "cpu"), needs_zoo=True),
    "models info": Row(("tiny.safetensors",)),
    "models add": Row(("tiny.safetensors", "--name", "mine")),
    "models convert": Row(("guitar.pth", "--name", "guitar")),
    "models pull": Row(("spleeter_2stems",)),
    "models path": Row(("spleeter_2stems",)),
    "models verify": Row(),
    "models remove": Row(("tiny",), needs_zoo=True),
    "train": Row(
        ("--recipe", "tune-melrnn", "--data", "songs", "-o", "run", *SETS),
        ("run/best.safetensors", "run/last.safetensors"),
    ),
    "tune": Row(
        ("melrnn", "--data", "songs", "-o", "search", "--trials", "1", *SETS),
        ("search/best.yaml",),
        (pytest.mark.ray,),
    ),
    "data render": Row(("toy", "--songs", "1", "--seconds", "1"), ("toy/song_001/vocals.wav",)),
    "data check": Row(("songs",)),
    "eval folder": Row((SONG, SONG, "-o", "made"), ("made/report.html",)),
    "eval musdb": Row(
        ("--root", "hq", *TINY, "-o", "made", "--no-oracles"),
        ("made/report.html",),
        (pytest.mark.musdb,),
    ),
    "eval compare": Row(("scores",)),
    "eval speed": Row(("-m", "tiny.safetensors", "--seconds", "10", "--rounds", "1")),
    "config show": Row(),
    "config list": Row(),
    "config get": Row(("format",)),
    "config set": Row(("format", "flac")),
    "config unset": Row(("format",)),
    "config path": Row(),
    "export": Row(("tiny.safetensors", "--to", "torchscript", "-o", "made"), ("made/tiny.pt",)),
    "doctor": Row(),
    "help": Row(("separate",)),
    "version": Row(),
    "completion": Row(("bash",)),
}
"""Arguments and outputs by command."""


def leaves(group: LazyGroup, before: tuple[str, ...] = ()) -> Iterator[str]:
    for name in group.table:
        command = group.get_command(click.Context(group), name)
        if isinstance(command, LazyGroup):
            yield from leaves(command, (*before, name))
        else:
            yield " ".join((*before, name))


COMMANDS = ["--help", "--version", *leaves(stem)]


@dataclass(frozen=True)
class Place:
    """An environment: a bash script that starts the command ``"$@"``."""

    script: str
    works: bool = True
    """Whether all commands work there; otherwise they may fail with one message."""
    has_zoo: bool = True
    speaks: bool = True
    """Whether stderr can be read afterwards."""
    marks: tuple[pytest.MarkDecorator, ...] = ()


NAMELESS = "unset HOME USER LOGNAME STEM_HOME STEM_CACHE STEM_CONFIG XDG_DATA_HOME XDG_CACHE_HOME"
READER = '| head -1 > /dev/null; exit "${PIPESTATUS[0]}"'

ENVIRONMENTS = {
    "stdout closed": Place('"$@" >&-'),
    "stderr closed": Place('"$@" 2>&-', speaks=False),
    "all closed": Place('"$@" <&- >&- 2>&-', speaks=False),
    "a reader of one line": Place(f'"$@" {READER}'),
    "a reader of one line of both": Place(f'"$@" 2>&1 {READER}', speaks=False),
    "no reader": Place('"$@" 2> >(true) > >(true)', speaks=False),
    "no home, no name": Place(
        f'{NAMELESS}; PYTHONPATH="$PWD/nameless:$PYTHONPATH" "$@"', has_zoo=False
    ),
    "ascii": Place('LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 "$@"'),
    "ascii by name": Place('LC_ALL=C PYTHONIOENCODING=ascii "$@"'),
    "a narrow terminal": Place('COLUMNS=20 TERM=dumb NO_COLOR=1 "$@"'),
    "no terminal": Place('unset TERM; TMPDIR=/nonexistent "$@"'),
    "no temporary folder": Place('PYTHONPATH="$PWD/crowded:$PYTHONPATH" "$@"'),
    "a folder that is gone": Place('mkdir x; cd x; rmdir ../x; "$@"', works=False),
    "a foreign user": Place(
        f'{NAMELESS}; unshare --map-user=54321 "$@"', has_zoo=False, marks=(pytest.mark.root,)
    ),
    "a home that may not be written": Place(
        'unset STEM_HOME STEM_CACHE STEM_CONFIG; mkdir -m 555 home; HOME="$PWD/home" '
        'unshare --map-user=54321 "$@"',
        works=False,
        has_zoo=False,
        marks=(pytest.mark.root,),
    ),
}

HIDES_NAMES = """
import pwd

def unknown(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")

pwd.getpwuid = unknown
"""
"""Simulates a user without an entry in /etc/passwd, in child processes too."""


HAS_NO_ROOM = """
import tempfile

tempfile._candidate_tempdir_list = lambda: ["/nonexistent"]
"""
"""Simulates a machine without any writable temporary folder."""


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the inputs of all commands."""
    place = tmp_path_factory.mktemp("things")
    rng = np.random.default_rng(0)
    for name in ("song.wav", "in/a.wav", "in/b.wav"):
        (place / name).parent.mkdir(exist_ok=True)
        soundfile.write(place / name, rng.uniform(-0.5, 0.5, (RATE // 4, 2)), RATE)
    save(place / "tiny.safetensors", small_network(), {"residual": "band"})
    torch.save(small_network().state_dict(), place / "guitar.pth")
    render_songs(place / "songs", songs=3, seconds=1.0, sample_rate=8000, seed=0)
    (place / SONG).mkdir()
    shutil.copy(place / "songs/song_001/vocals.wav", place / SONG)
    render_songs(place / "hq/test", songs=1, seconds=2.0, sample_rate=44_100, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEM_HOME", str(place / "zoo"))
        install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))
        patch.chdir(place)
        args = ["eval", "folder", SONG, SONG, "-o", "scores", "--listen", "0"]
        assert CliRunner().invoke(stem, args).exit_code == 0
    for name, code in {"nameless": HIDES_NAMES, "crowded": HAS_NO_ROOM}.items():
        (place / name).mkdir()
        (place / name / "sitecustomize.py").write_text(code)
    return place


@pytest.fixture
def work_folder(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the inputs as the current folder of the commands."""
    place = tmp_path / "here"
    shutil.copytree(inputs, place)
    (tmp_path / "tmp").mkdir()
    for name, value in {
        "STEM_HOME": str(place / "zoo"),
        "STEM_CACHE": str(place / "cache"),
        "STEM_CONFIG": str(place / "config.toml"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MUSDB_PATH", raising=False)
    return place


def run_in(script: str, place: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", script, "bash", sys.executable, "-m", "stemcli", *args]
    return subprocess.run(
        command, cwd=place, capture_output=True, text=True, errors="replace", check=False
    )


def test_every_command_has_a_row() -> None:
    """Every command, also a new one, needs a row with arguments that make it do something."""
    assert {*ROWS} == {*COMMANDS}


FAST = {
    ("--version", "no home, no name"),
    ("separate", "stdout closed"),
    ("separate", "a reader of one line of both"),
    ("separate", "no home, no name"),
    ("models list", "all closed"),
    ("models list", "a reader of one line"),
    ("models verify", "a folder that is gone"),
}
"""Fast cases; all together take a quarter of an hour."""


def marks(command: str, name: str) -> list[pytest.MarkDecorator]:
    all_marks = [*ROWS.get(command, Row()).marks, *ENVIRONMENTS[name].marks]
    return all_marks if (command, name) in FAST else [*all_marks, pytest.mark.slow]


CASES = [
    pytest.param(command, name, marks=marks(command, name))
    for command in COMMANDS
    for name in ENVIRONMENTS
]


@pytest.mark.skipif(os.name == "nt", reason="bash and its redirections")
@pytest.mark.parametrize(("command", "name"), CASES)
def test_a_command_works_or_reports_why_not(command: str, name: str, work_folder: Path) -> None:
    row, environment = ROWS.get(command, Row()), ENVIRONMENTS[name]
    done = run_in(environment.script, work_folder, *command.split(), *row.args)
    error_lines = errors(done.stderr)
    assert "bug in stem" not in done.stderr, done
    assert "Exception ignored" not in done.stderr, done
    if environment.works and (environment.has_zoo or not row.needs_zoo):
        assert (done.returncode, error_lines) == (0, []), done
    if done.returncode == 0:
        assert [file for file in row.outputs if not (work_folder / file).is_file()] == [], done
    else:
        assert done.returncode in (1, 2), done
        assert len(error_lines) == environment.speaks, done


def test_results_go_to_stdout_and_status_to_stderr(work_folder: Path) -> None:
    """By hand: stdout has only the rows of a table, and nothing of a separation."""
    table = run_in('"$@" 2>/dev/null', work_folder, "models", "list").stdout.splitlines()
    assert table[0].startswith("model ")
    assert len(table) == len([line for line in table if line.strip()])
    done = run_in('"$@"', work_folder, "separate", "song.wav", *TINY)
    assert (done.stdout, "vocals.wav" in done.stderr) == ("", True)


def test_a_result_that_cannot_be_written_is_an_error(work_folder: Path) -> None:
    """A full disk behind stdout loses the result, behind stderr only messages."""
    done = run_in('"$@" > /dev/full', work_folder, "models", "list")
    assert (done.returncode, len(errors(done.stderr))) == (1, 1), done
    assert "No space left" in done.stderr
    assert run_in('"$@" 2> /dev/full', work_folder, "models", "list").returncode == 0

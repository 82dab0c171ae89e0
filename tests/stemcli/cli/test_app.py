"""Error messages and exit codes of commands."""

from __future__ import annotations

import errno
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from model_zoo.errors import StemError, UsageError
from stemcli.cli import app
from stemcli.cli.app import COMMANDS
from stemcli.cli.lazy import CommandEntry
from stemcli.cli.options import console_options
from tests.stemcli.cli.conftest import RunStem

FailWith = Callable[[BaseException], None]


@pytest.fixture
def doctor_fails(monkeypatch: pytest.MonkeyPatch) -> FailWith:
    """Let ``stem doctor`` raise the given error."""

    def fail_with(error: BaseException) -> None:
        @click.command("doctor")
        @console_options
        def command(console: object) -> None:
            raise error

        monkeypatch.setattr(CommandEntry, "load", lambda entry: command)

    return fail_with


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (StemError("It rains."), 1, "Error: It rains.\n"),
        (UsageError("Type less."), 2, "Error: Type less.\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/s/v.wav"),
            1,
            "Error: The operating system reports: No space left on device (/s/v.wav).\n",
        ),
        (MemoryError(), 1, "Error: Out of memory. Try --jobs 1 or a smaller"),
        (ValueError("x"), 1, "Error: This is a bug in stem, not your mistake (ValueError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_errors_are_one_sentence(
    error: BaseException, code: int, sentence: str, doctor_fails: FailWith, run_stem: RunStem
) -> None:
    doctor_fails(error)
    result = run_stem("doctor")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith(sentence)
    assert "Traceback" not in result.stderr


def test_verbose_adds_the_traceback(doctor_fails: FailWith, run_stem: RunStem) -> None:
    doctor_fails(StemError("It rains."))
    stderr = run_stem("doctor", "--verbose").stderr
    assert "Traceback (most recent call last)" in stderr
    assert stderr.endswith("Error: It rains.\n")


def test_a_broken_pipe_inside_the_program_is_an_error(
    doctor_fails: FailWith, run_stem: RunStem
) -> None:
    """A dead encoder also raises it, and must not be mistaken for the reader of stdout."""
    doctor_fails(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    result = run_stem("doctor")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: The operating system reports: Broken pipe.\n",
    )


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("seperate", "Unknown command 'seperate': did you mean 'separate'?"),
        ("my song.mp3", "my song.mp3 is a file. Try: stem separate 'my song.mp3'"),
        ("folder", "folder is a folder. Try: stem batch folder"),
        ("xyzzy", "Unknown command 'xyzzy': known: batch, "),
    ],
)
def test_unknown_commands_get_a_suggestion(
    word: str, sentence: str, tmp_path: Path, run_stem: RunStem
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "my song.mp3").touch()
    result = run_stem(word)
    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.parametrize("group", ["models", "eval"])
def test_a_group_alone_shows_its_help(group: str, run_stem: RunStem) -> None:
    assert run_stem(group).stderr == run_stem(group, "--help").stdout


@pytest.mark.parametrize("name", ["-song.wav", "-dash.wav", "--my song.wav"])
def test_a_song_that_looks_like_an_option(name: str, tmp_path: Path, run_stem: RunStem) -> None:
    (tmp_path / name).touch()
    result = run_stem("separate", name)
    assert result.exit_code == 2
    assert result.stderr.rstrip().endswith(f"use {shlex.quote('./' + name)})")
    assert "use ./" not in run_stem("separate", "--bogus").stderr


def test_version(run_stem: RunStem) -> None:
    assert re.fullmatch(r"stem (\d+\.\d+\.\d+\S*|\(from .*\))\n", run_stem("--version").output)


@pytest.mark.parametrize("args", [["--help"], ["-h"], []])
def test_help_lists_all_commands_in_the_order_of_the_table(
    args: list[str], run_stem: RunStem
) -> None:
    commands = re.findall(
        r"^  (\w+)  +\S", run_stem(*args).output.split("Commands:")[1], re.MULTILINE
    )
    assert commands == [name for name, entry in COMMANDS.items() if entry.is_listed]


def test_a_signal_decides_about_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray replaces the exit code of a signal with 1; shells expect 128 and its number."""

    def replace_code(**_: object) -> None:
        try:
            app._end(signal.SIGTERM, None)
        except SystemExit:
            raise SystemExit(1) from None

    monkeypatch.setattr(app, "_received", [])
    monkeypatch.setattr(app, "tidy_up_when_ended", lambda: None)
    monkeypatch.setattr(app.stem, "main", replace_code)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 143

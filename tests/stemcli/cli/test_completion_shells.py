"""Completion in real shells, and its installation."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest

from stemcli.cli.app import stem
from stemcli.cli.completion import (
    add_line,
    detect_shell,
    has_bash_completion,
    script_for,
    unix_word,
)
from tests.stemcli.cli.conftest import ROOT, RunStem
from tests.windows import Seen


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_stem: RunStem) -> Path:
    """An empty home folder, and a ``stem`` on PATH."""
    home = tmp_path / "home of me"
    (tmp_path / "bin").mkdir()
    home.mkdir()
    program = tmp_path / "bin/stem"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m stemcli "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR", "BASH_COMPLETION_USER_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("stemcli.cli.completion.SYSTEM_STARTUP", (home / "none", home / "none"))
    return home


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(shell), reason=f"{shell} is not installed")


def output_of(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


BASH = """
source "$1"; shift
compopt() { local IFS=' '; echo "compopt $*"; }  # works only at a prompt
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_stem_completion stem
printf '%s\\n' "${COMPREPLY[@]}"
"""


@needs("bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("sep",), "separate\n"),
        (("separate", "song.mp3", "--stems", "vocals,"), "vocals,instrumental\n"),
        (("separate", "--format", "=", "fl"), "flac\n"),
        (("separate", "--model", "melr"), "melroformer\n"),
        (("batch", ""), "compopt -o dirnames\n\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bash(words: tuple[str, ...], expected: str, home: Path, run_stem: RunStem) -> None:
    run_stem("completion", "bash", "--install")
    script = home / ".local/share/bash-completion/completions/stem"
    assert output_of("bash", "--norc", "-c", BASH, "bash", str(script), "stem", *words) == expected


@needs("bash")
def test_an_interactive_bash_reads_the_line(home: Path, run_stem: RunStem) -> None:
    run_stem("completion", "bash", "--install")
    done = subprocess.run(
        ["bash", "-i", "-c", "complete -p stem"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "complete -o nosort -F _stem_completion stem\n"


@needs("zsh")
def test_an_interactive_zsh_reads_the_line(home: Path, run_stem: RunStem) -> None:
    run_stem("completion", "zsh", "--install")
    assert output_of("zsh", "-ic", "print -- $_comps[stem]") == "_stem_completion\n"


@needs("fish")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("stem sep", "separate\tSeparate songs into stems.\n"),
        ("stem separate x --stems vocals,", "vocals,instrumental\n"),
        ("stem separate --model melr", "melroformer\n"),
    ],
)
def test_fish(line: str, expected: str, home: Path, run_stem: RunStem) -> None:
    run_stem("completion", "fish", "--install")
    assert output_of("fish", "-c", f"complete -C'{line}'") == expected


def files_below(home: Path) -> dict[str, str]:
    return {
        str(path.relative_to(home)): path.read_text() for path in home.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_installing_twice_changes_nothing(shell: str, home: Path, run_stem: RunStem) -> None:
    (home / ".bashrc").write_text("alias l=ls")
    (home / ".zshrc").write_text("alias l=ls\n")
    first = run_stem("completion", shell, "--install")
    before = files_below(home)
    second = run_stem("completion", shell, "--install")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stderr.startswith(f"Wrote {home}")
    assert second.stderr.startswith("Everything is in place already.\n")
    assert files_below(home) == before
    assert script_for(shell) in before.values()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_lines_end_as_shells_need_them(
    shell: str, home: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows, text files and standard output end lines with CRLF, which bash cannot read."""
    run_stem("completion", shell, "--install")
    (script,) = (path for path in home.rglob("*stem*") if path.is_file())
    expected = script_for(shell).encode()
    assert script.read_bytes() == expected
    script.write_bytes(expected.replace(b"\n", b"\r\n"))
    assert run_stem("completion", shell, "--install").stderr.startswith(f"Wrote {script}\n")
    assert script.read_bytes() == expected
    out = io.TextIOWrapper(io.BytesIO(), "cp1252", newline="\r\n")
    monkeypatch.setattr("sys.stdout", out)
    stem.main(["completion", shell], standalone_mode=False)
    out.flush()
    assert out.buffer.getvalue().rstrip(b"\n") == expected.rstrip(b"\n")  # type: ignore[attr-defined]


@pytest.mark.parametrize(("shell", "rc"), [("bash", ".bashrc"), ("zsh", ".zshrc")])
def test_lines_are_quoted_for_the_shell_that_reads_them(
    shell: str, rc: str, home: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where other commands are quoted for cmd and PowerShell."""
    run_stem("completion", shell, "--install")
    line = (home / rc).read_text()
    assert f"'{home}" in line
    (home / rc).unlink()
    monkeypatch.setattr("model_zoo.shell.os", Seen(os, {"name": "nt"}))
    result = run_stem("completion", shell, "--install")
    assert (home / rc).read_text() == line
    assert '"' not in result.stderr


@pytest.mark.parametrize(
    ("path", "word"),
    [
        (r"C:\Users\me\stem", "C:/Users/me/stem"),
        (r"C:\Users\Jo Doe\stem", "'C:/Users/Jo Doe/stem'"),
        (r"C:\Users\A$AP\stem", "'C:/Users/A$AP/stem'"),
    ],
)
def test_paths_of_windows_in_a_unix_shell(path: str, word: str) -> None:
    assert unix_word(PureWindowsPath(path)) == word


def test_bash_without_bash_completion(home: Path, run_stem: RunStem) -> None:
    rc = home / ".bashrc"
    rc.write_text("# . /usr/share/bash-completion/bash_completion\nalias l=ls")
    result = run_stem("completion", "bash", "--install")
    script = home / ".local/share/bash-completion/completions/stem"
    assert f"Wrote {script}\nAdded a line to {rc}\nOpen a new terminal" in result.stderr
    line = f"[ ! -f '{script}' ] || . '{script}'  # completion of stem"
    assert rc.read_text().endswith(f"\nalias l=ls\n{line}\n")


def test_bash_with_bash_completion(home: Path, run_stem: RunStem) -> None:
    rc = home / ".bashrc"
    rc.write_text("if true; then\n  . /usr/share/bash-completion/bash_completion\nfi\n")
    assert has_bash_completion(rc)
    result = run_stem("completion", "bash", "--install")
    assert str(rc) not in result.stderr
    assert sorted(files_below(home)) == [
        ".bashrc", ".local/share/bash-completion/completions/stem",
    ]  # fmt: skip


def test_folders_that_the_environment_names(
    home: Path, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR", "BASH_COMPLETION_USER_DIR"):
        monkeypatch.setenv(name, str(home / name))
    for shell in ("bash", "zsh", "fish"):
        assert run_stem("completion", shell, "--install").exit_code == 0
    assert sorted(files_below(home)) == [
        ".bashrc",
        "BASH_COMPLETION_USER_DIR/completions/stem",
        "XDG_CONFIG_HOME/fish/completions/stem.fish",
        "XDG_DATA_HOME/zsh/site-functions/_stem",
        "ZDOTDIR/.zshrc",
    ]


def test_a_startup_file_keeps_its_permissions_bytes_and_link(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"\xff\n")
    (tmp_path / "kept").chmod(0o600)
    link = tmp_path / ".bashrc"
    link.symlink_to("kept")
    assert add_line(link, "a line")
    assert not add_line(link, "a line")
    assert link.is_symlink()
    assert (tmp_path / "kept").read_bytes() == b"\xff\na line\n"
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o600


def test_a_startup_file_that_cannot_be_written(home: Path, run_stem: RunStem) -> None:
    (home / ".zshrc").mkdir()
    result = run_stem("completion", "zsh", "--install")
    assert result.exit_code == 1
    assert f"Error: Cannot write {home / '.zshrc'} (Is a directory). Add this line" in result.stderr


def test_the_shell_is_the_one_that_runs(run_stem: RunStem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert run_stem("completion").stdout == script_for("fish")
    assert detect_shell("C:\\Git\\bin\\bash.exe".replace("\\", "/")) == "bash"


@pytest.mark.parametrize(
    ("args", "shell", "sentence"),
    [
        (["tcsh"], "/bin/bash", "'tcsh' is not one of 'bash', 'zsh', 'fish'."),
        ([], "/bin/tcsh", "Your shell /bin/tcsh is not one of bash, zsh, fish. Name the shell"),
        ([], "", "SHELL is not set. Name the shell to complete in, e.g.: stem completion bash"),
    ],
)
def test_unknown_shells(
    args: list[str], shell: str, sentence: str, run_stem: RunStem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", shell)
    result = run_stem("completion", *args)
    assert result.exit_code == 2
    assert sentence in result.stderr

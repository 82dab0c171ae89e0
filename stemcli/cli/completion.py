"""``stem completion``: completes commands, options and values in a shell with the Tab key.

The script of a shell calls ``stem`` with the variable ``_STEM_COMPLETE`` (Click's protocol) at each
press of the key; :func:`answer` prints the candidates.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO, TextIOWrapper
from pathlib import Path, PurePath

import click
from click.shell_completion import (
    BashComplete,
    FishComplete,
    add_completion_class,
    get_completion_class,
)

from model_zoo.errors import OutputError, UsageError
from model_zoo.files import staged
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples
from stemcli.cli.options import console_options

PROGRAM = "stem"
VARIABLE = "_STEM_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


class StemFishComplete(FishComplete):
    """Completion for fish that keeps commas in values, which ``--stems`` needs."""

    source_template = FishComplete.source_template.replace(
        'string split "," $completion', 'string split --max 1 "," $completion'
    )


class StemBashComplete(BashComplete):
    """Completion for bash, which splits ``--format=fl`` into three words."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one to complete, and that word."""
        words, incomplete = super().get_completion_args()
        return [word for word in words if word != "="], incomplete


add_completion_class(StemBashComplete)
add_completion_class(StemFishComplete)


@click.command(
    "completion",
    epilog=examples(
        ("stem completion --install", "for the shell that you use"),
        ("stem completion zsh", "print the script for zsh"),
        ("stem completion fish --install", "for fish, from any shell"),
    ),
)
@click.argument("shell", required=False, type=click.Choice(SHELLS), metavar="[bash|zsh|fish]")
@click.option("--install", is_flag=True, help="Put the script in place instead of printing it.")
@console_options
def command(shell: str | None, install: bool, console: Console) -> None:
    """Complete commands, options, models, stems and recipes in your shell with the Tab key.

    Prints the script for SHELL, by default the shell that you use ($SHELL). With --install, the
    script is written where the shell finds it, and the output says where and what to do next.
    """
    chosen = shell or detect_shell(os.environ.get("SHELL", ""))
    script = script_for(chosen)
    if not install:
        console.document({"shell": chosen, "script": script})
        print_script(script, console)
        return
    done = PLACES[chosen]().install(script)
    console.document({"shell": chosen, "written": list(done)})
    for path, what in done.items():
        console.line(f"{what} {path}")
    if not done:
        console.line("Everything is in place already.")
    console.line(PLACES[chosen]().next_step)


def print_script(script: str, console: Console) -> None:
    """Print a script; also on Windows its lines end with LF alone, as shells need them."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(newline="\n")
    for line in script.splitlines():
        console.result(line)


def detect_shell(path: str) -> str:
    """The shell at a path, as in the variable SHELL.

    Raises:
        UsageError: it is none that Stem knows.
    """
    name = Path(path).name.removesuffix(".exe")
    if name in SHELLS:
        return name
    found = f"Your shell {path} is not one of {', '.join(SHELLS)}" if path else "SHELL is not set"
    if os.name == "nt":
        raise UsageError(
            "Completion works in bash, zsh and fish, not in PowerShell and cmd. In one of those "
            "shells, name it, e.g.: stem completion bash"
        )
    raise UsageError(f"{found}. Name the shell to complete in, e.g.: stem completion bash")


def script_for(shell: str) -> str:
    """The completion script for a shell."""
    from stemcli.cli.app import stem

    kind = get_completion_class(shell)
    assert kind is not None
    return kind(stem, {}, PROGRAM, VARIABLE).source()


def answer(instruction: str) -> int:
    """Answer a shell's request for candidates; returns the exit code.

    A shell shows nothing but candidates, so an error, for example of a damaged card, means that
    there are none.

    Args:
        instruction: shell and request, e.g. ``bash_complete``.
    """
    from stemcli.cli.app import stem

    shell, _, request = instruction.partition("_")
    kind = get_completion_class(shell)
    if kind is None or request not in ("complete", "source"):
        return 1
    completion = kind(stem, {}, PROGRAM, VARIABLE)
    try:
        with redirect_stderr(StringIO()):
            text = completion.source() if request == "source" else completion.complete()
    except (Exception, SystemExit):
        return 0
    click.echo(text.encode(errors="surrogateescape"), nl=request == "complete")
    return 0


@dataclass(frozen=True)
class Place:
    """Where a shell finds a completion script.

    Attributes:
        script: path of the script.
        startup: file that the shell reads when it starts, if that has to mention the script.
        line: the line for that file.
        next_step: what the user does next.
    """

    script: Path
    next_step: str
    startup: Path | None = None
    line: str = ""

    def install(self, text: str) -> dict[str, str]:
        """Write the script, and the line if it is missing.

        Returns:
            for each changed file, what was done to it.

        Raises:
            OutputError: a file cannot be written.
        """
        changed = {}
        content = text.encode()
        if _content(self.script) != content:
            with staged(self.script) as temporary:
                temporary.write_bytes(content)
            changed[str(self.script)] = "Wrote"
        if self.startup and add_line(self.startup, self.line):
            changed[str(self.startup)] = "Added a line to"
        return changed


def add_line(file: Path, line: str) -> bool:
    """Add a line at the end of a text file unless it is there; returns whether it was missing.

    Raises:
        OutputError: the file cannot be read or written.
    """
    try:
        before = file.read_bytes() if file.exists() else b""
        wanted = line.encode()
        if wanted in before.splitlines():
            return False
        gap = b"" if before.endswith(b"\n") or not before else b"\n"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as stream:  # in place: links and permissions stay
            stream.write(gap + wanted + b"\n")
    except OSError as error:
        raise OutputError(
            f"Cannot write {file} ({error.strerror}). Add this line to the file that your shell"
            f" reads when it starts: {line}"
        ) from error
    return True


def unix_word(path: PurePath) -> str:
    """``path`` as one word for bash, zsh or fish, which on Windows take ``C:/Users/me`` too."""
    return shlex.quote(path.as_posix())


def bash_place() -> Place:
    """bash-completion loads scripts from a folder; without it, ~/.bashrc has to."""
    folder = os.environ.get("BASH_COMPLETION_USER_DIR") or data_home() / "bash-completion"
    script = Path(folder) / "completions" / PROGRAM
    rc = Path.home() / ".bashrc"
    if has_bash_completion(rc):
        return Place(script, "Open a new terminal to use it.")
    word = unix_word(script)
    line = f"[ ! -f {word} ] || . {word}  # completion of stem"
    return Place(script, f"Open a new terminal to use it, or run: . {word}", rc, line)


SYSTEM_STARTUP = (Path("/etc/bash.bashrc"), Path("/etc/bashrc"))
FEDORA = Path("/etc/profile.d/bash_completion.sh")


def has_bash_completion(rc: Path) -> bool:
    """Whether a startup file of bash loads bash-completion."""
    active = re.compile(rb"(?m)^[^#\n]*bash[_-]completion(?!/completions/)")
    mentions = any(active.search(_content(file)) for file in (rc, *SYSTEM_STARTUP))
    return mentions or (SYSTEM_STARTUP[1].is_file() and FEDORA.is_file())


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def zsh_place() -> Place:
    """Zsh reads .zshrc, where a line loads the script, and the completion system if needed."""
    script = data_home() / "zsh" / "site-functions" / f"_{PROGRAM}"
    rc = Path(os.environ.get("ZDOTDIR") or Path.home()) / ".zshrc"
    system = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }"
    load = f"[[ ! -f {unix_word(script)} ]] || source {unix_word(script)}"
    line = f"{system}; {load}  # completion of stem"
    return Place(script, "Open a new terminal to use it, or run: exec zsh", rc, line)


def fish_place() -> Place:
    """Fish loads scripts from a folder of its configuration."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    script = Path(home) / "fish" / "completions" / f"{PROGRAM}.fish"
    return Place(script, "It works in every fish that you start from now on.")


def data_home() -> Path:
    """The user's data folder by the XDG rules, which shells follow on every system."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


PLACES: dict[str, Callable[[], Place]] = {
    "bash": bash_place,
    "zsh": zsh_place,
    "fish": fish_place,
}

"""The root command and lazily loaded subcommands.

``stem --help`` prints a table of strings; the module of a command, and with it torch, is imported
when that command runs or shows its own help. So a command may also live in an optional part of
the program: where that part is not installed, the user reads which extra to install.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import click

from model_zoo.errors import MissingExtraError, UnknownNameError, UsageError, describe_error
from stemcli.cli.formatting import examples, quoted
from stemcli.cli.options import is_verbose
from stemcli.printable import printable, printable_lines
from stemcli.process import complete_environment
from stemcli.streams import is_incomplete, secure_streams

OWN_PACKAGES = ("model_zoo", "stemcli", "trainers")


@dataclass(frozen=True)
class CommandEntry:
    """One row of a command table.

    Attributes:
        target: where the command lives, ``"package.module:attribute"``.
        help: the line that a listing shows.
        extra: the optional extra it needs, empty when the plain installation has it all.
    """

    target: str
    help: str
    extra: str = ""

    def load(self) -> click.Command:
        """Import the command."""
        module, attribute = self.target.split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class LazyGroup(click.Group):
    """A :class:`click.Group` over a table of :class:`CommandEntry`."""

    def __init__(self, *args: Any, table: Mapping[str, CommandEntry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table, which is the order of a first day."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the command of that name, or None when there is none."""
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        with naming_the_extra(entry):
            return entry.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List names and short helps without loading anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.table.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of ``args``; an unknown one is answered with the nearest known."""
        name = args[0]
        if name not in self.table and not name.startswith("-"):
            raise self.unknown_command(ctx, name)
        return super().resolve_command(ctx, args)

    def unknown_command(self, ctx: click.Context, name: str) -> Exception:
        """The error for a command that does not exist."""
        return UnknownNameError("command", name, self.table, f"{ctx.command_path} --help")

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it misses is reported as the extra that brings it."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            with naming_the_extra(self.table.get(ctx.invoked_subcommand or "")):
                raise error


@contextmanager
def naming_the_extra(entry: CommandEntry | None) -> Iterator[None]:
    """Turn the absence of a module that only an extra installs into that extra's name.

    Raises:
        MissingExtraError: when a foreign module is missing and ``entry`` needs an extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if entry is None or not entry.extra or package in OWN_PACKAGES:
            raise
        raise MissingExtraError(package, entry.extra) from error


INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended
ENDED = 128  # plus the number of a signal: what a shell reports for a program that it ended
WORDS = "stem.words"  # key in the context
EMPTY_OPTION = re.compile(r"--[a-z-]+=")

COMMANDS = {
    "separate": CommandEntry("stemcli.cli.separate:command", "Take one or more songs apart."),
    "batch": CommandEntry("stemcli.cli.batch:command", "Take every song of a folder apart."),
    "models": CommandEntry(
        "stemcli.cli.models:group", "See, check and add the networks that separate."
    ),
    "train": CommandEntry(
        "trainers.cli.train:command", "Train a network of your own.", extra="train"
    ),
    "tune": CommandEntry(
        "trainers.cli.tune:command", "Search for hyperparameters.", extra="train,cluster"
    ),
    "data": CommandEntry(
        "trainers.cli.data:command", "Check a folder of training data.", extra="train"
    ),
    "eval": CommandEntry(
        "trainers.cli.evaluate:command", "Measure how well it separates.", extra="eval"
    ),
    "doctor": CommandEntry(
        "stemcli.cli.doctor:command", "Check that this computer has all it takes."
    ),
}


class Stem(LazyGroup):
    """The root group: the one place where an error becomes a sentence and an exit code."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember what was typed, for :meth:`invoke`.

        Raises:
            Misused: one of the words is empty.
        """
        ctx.meta[WORDS] = tuple(args)
        refuse_empty(args)
        return super().parse_args(ctx, args)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read what was typed; click would answer Ctrl-C in another way."""
        try:
            return super().make_context(*args, **extra)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise _misused(error, "stem") from error
        except KeyboardInterrupt:
            raise _interrupted() from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was typed."""
        try:
            require_folder()
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            hint = _dashed(ctx.meta[WORDS])
            raise _misused(error, f"stem {ctx.invoked_subcommand}", hint) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as error:
            raise _interrupted(*error.args) from None
        except Exception as error:
            if is_verbose(ctx):
                click.echo(printable_lines(traceback.format_exc()), err=True)
            raise as_click_error(error) from error

    def unknown_command(self, ctx: click.Context, name: str) -> Exception:
        """A file or folder in the place of a command gets the command that takes it."""
        if Path(name).is_dir():
            return UsageError(f"{name} is a folder. Try: stem batch {quoted(name)}")
        if Path(name).is_file():
            return UsageError(f"{name} is a file. Try: stem separate {quoted(name)}")
        return super().unknown_command(ctx, name)


def require_folder() -> None:
    """See that the current folder is there: relative paths mean nothing, and MKL cannot start.

    Raises:
        UsageError: it was removed.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UsageError(
            "The current folder does not exist any more. Change to another one, e.g. cd ~"
        ) from None


def refuse_empty(words: Sequence[str]) -> None:
    """What is empty names nothing, whatever it was meant for.

    Raises:
        Misused: says where the empty word is.
    """
    before = ["stem", *words]
    found = [last for last, word in pairwise(before) if not word]
    found += [word[:-1] for word in words if EMPTY_OPTION.fullmatch(word)]
    if found:
        raise CommandMisused(
            f"Nothing follows {found[0]} but an empty word, which a shell makes of a variable that"
            " is not set. Type a value, or leave it out"
        )


def _interrupted(*hints: object) -> click.exceptions.Exit:
    """Say so, with what to type next, and end as a shell expects."""
    click.echo(printable(" ".join(["Interrupted.", *map(str, hints)])), err=True)
    return click.exceptions.Exit(INTERRUPTED)


def _dashed(words: Sequence[str]) -> str:
    """How to type a file that was taken for an option."""
    file = next((word for word in words if word.startswith("-") and Path(word).is_file()), None)
    return f"For the file of that name type {quoted(f'./{file}')}" if file else ""


class CommandFailed(click.ClickException):
    """An error as one sentence on stderr."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class CommandMisused(CommandFailed):
    """The same for a request that is itself wrong."""

    exit_code = 2


def _misused(error: click.UsageError, command: str, hint: str = "") -> CommandMisused:
    """One line of what click would spread over four; ``command`` is used where click knows none."""
    command = error.ctx.command_path if error.ctx else command
    return CommandMisused(f"{error.format_message()} ({hint or f'See: {command} --help'})")


def as_click_error(error: Exception) -> Exception:
    """What click prints and exits with."""
    is_misuse = isinstance(error, UsageError)
    return (
        CommandMisused(describe_error(error)) if is_misuse else CommandFailed(describe_error(error))
    )


def print_version(ctx: click.Context, parameter: click.Parameter, asked: bool) -> None:
    """Answer ``--version`` from the metadata of the installed package."""
    if not asked or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("stemcli")
    except PackageNotFoundError:
        number = "(from a source folder, not installed)"
    click.echo(f"stem {number}")
    ctx.exit()


@click.group(
    cls=Stem,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        ("stem separate song.mp3", "vocals and the rest, in the folder separated/song"),
        ("stem batch Music --output Stems", "a whole library"),
        ("stem separate --help", "everything a command can do"),
    ),
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_version,
    help="Show the version and exit.",
)
def stem() -> None:
    """Take songs apart: the voice, the band, or whatever a network was trained to hear."""


def tidy_up_when_ended() -> None:
    """Let ``kill``, a shutdown and a closed terminal remove half-written files, as Ctrl-C does.

    What was told to ignore such a signal (``nohup``) goes on ignoring it.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(ENDED + number)


def main() -> NoReturn:
    """Entry point of ``stem`` and of ``python -m stemcli``; always ends the process."""
    secure_streams()
    complete_environment()
    tidy_up_when_ended()
    code: str | int | None = 0
    try:
        stem.main(prog_name="stem")
    except SystemExit as end:
        code = end.code
    raise SystemExit(code or int(is_incomplete(sys.stdout)))

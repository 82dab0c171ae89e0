"""The root command, which turns every error into one sentence and an exit code.

``stem --help`` prints a static table. The module of a command, and with it torch, is imported only
when that command runs.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NoReturn

import click

from model_zoo.errors import UsageError, describe_error
from model_zoo.option_names import command_line
from model_zoo.shell import misquoted, quoted
from stemcli import version
from stemcli.cli import other_tools
from stemcli.cli.formatting import examples
from stemcli.cli.json_output import json_if_requested, write_error, write_interrupted
from stemcli.cli.lazy import HELP_NAMES, CommandEntry, LazyGroup
from stemcli.cli.options import is_verbose
from stemcli.printable import printable, printable_lines
from stemcli.process import complete_environment
from stemcli.settings import tidy_variables
from stemcli.streams import is_incomplete, secure_streams

INTERRUPTED = 130  # exit code that shells use after Ctrl-C
ENDED = 128  # plus the signal's number: exit code that shells use after a signal
WORDS = "stem.words"  # key in the context
EMPTY_OPTION = re.compile(r"--[a-z-]+=")

COMMANDS = {
    "separate": CommandEntry("stemcli.cli.separate:command", "Separate songs into stems."),
    "batch": CommandEntry("stemcli.cli.batch:command", "Separate every song in a folder."),
    "models": CommandEntry("stemcli.cli.models:group", "List, inspect, check and add models."),
    "train": CommandEntry("trainers.cli.train:command", "Train your own network.", extra="train"),
    "tune": CommandEntry(
        "trainers.cli.tune:command", "Search for hyperparameters.", extra="train,cluster"
    ),
    "data": CommandEntry(
        "trainers.cli.data:command", "Render or check training data.", extra="train"
    ),
    "eval": CommandEntry(
        "trainers.cli.evaluate:command", "Measure quality and speed of models.", extra="eval"
    ),
    "config": CommandEntry("stemcli.cli.config:group", "Keep your own defaults for options."),
    "export": CommandEntry(
        "stemcli.cli.export:command", "Export a network for other programs.", extra="export"
    ),
    "doctor": CommandEntry("stemcli.cli.doctor:command", "Check the installation."),
    "completion": CommandEntry(
        "stemcli.cli.completion:command", "Complete commands in your shell with the Tab key."
    ),
    "help": CommandEntry("stemcli.cli.help:command", "Show help.", is_listed=False),
    "version": CommandEntry("stemcli.cli.help:version", "Show the version.", is_listed=False),
}


class Stem(LazyGroup):
    """The root group, which turns every error into one sentence and an exit code."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command line; messages name options by their flags.

        Click would expand every argument on Windows, also in quotes; only songs are patterns.
        """
        words = sys.argv[1:] if args is None else [*args]
        extra.setdefault("windows_expand_args", False)
        tidy_variables(os.environ)
        with command_line(), json_if_requested(words):
            return super().main(args, *rest, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the command line for :meth:`invoke`.

        Raises:
            CommandMisused: an argument is empty, or has quotes that cmd does not know.
        """
        ctx.meta[WORDS] = tuple(args)
        if not ctx.resilient_parsing:  # a shell completes a line before it is complete
            refuse_empty(args)
            refuse_misquoted(args)
        try:
            return super().parse_args(ctx, other_tools.with_dashes(args))
        except click.NoSuchOption as error:
            raise self.misplaced(ctx, error) from error

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the command line; replaces click's handling of usage errors and Ctrl-C."""
        try:
            return super().make_context(*args, **extra)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise _misused(error, "stem") from error
        except KeyboardInterrupt:
            raise _interrupted() from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            require_folder()
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            hint = _dashed(ctx.meta[WORDS])
            raise _misused(error, f"stem {ctx.invoked_subcommand}", hint) from error
        except (CommandFailed, click.exceptions.Exit, click.Abort):
            raise
        except click.ClickException as error:
            raise CommandFailed(error.format_message(), type(error).__name__) from error
        except KeyboardInterrupt as error:
            raise _interrupted(*error.args) from None
        except Exception as error:
            if is_verbose(ctx):
                click.echo(printable_lines(traceback.format_exc()), err=True)
            raise as_click_error(error) from error

    def unknown_command(self, ctx: click.Context, name: str) -> Exception:
        """Return the error for an unknown command; for a file or folder it names the command."""
        words = typed(ctx.meta[WORDS])
        if Path(name).is_dir():
            return UsageError(f"{name} is a folder. Try: stem batch {words}")
        if Path(name).is_file():
            return UsageError(f"{name} is a file. Try: stem separate {words}")
        if name == "-" or "://" in name:
            return UsageError(f"{name} is not a command. Try: stem separate {words}")
        if command := other_tools.COMMAND_WORDS.get(name.casefold()):
            return UsageError(f"Unknown command {name!r}. Try: {command}")
        if Path(name).suffix or Path(name).name != name:
            return UsageError(f"There is no file or folder {name}. Try: stem separate SONG")
        return super().unknown_command(ctx, name)

    def misplaced(self, ctx: click.Context, error: click.NoSuchOption) -> click.UsageError:
        """Return the error for an option before the command, with the words in order."""
        separate = self.get_command(ctx, "separate")
        words = ctx.meta[WORDS]
        if refused := other_tools.refused_option(error.option_name):
            return click.UsageError(refused, ctx)
        if separate is None or not any(error.option_name in each.opts for each in separate.params):
            return error
        at = next((number for number, word in enumerate(words) if word in self.table), len(words))
        if at < len(words):
            ordered = ["stem", *words[at:], *words[:at]]
        else:
            ordered = ["stem", "separate", *words]
        has_song = at < len(words) or any(word[:1] != "-" for word in words)
        advice = typed(ordered if has_song else [*ordered, "SONG"])
        return click.UsageError(f"Options follow the command. Try: {advice}", ctx)


def typed(words: Sequence[str]) -> str:
    """Words of a command line as they are typed."""
    return " ".join(map(quoted, words))


def typed_as(command: str, ctx: click.Context) -> str:
    """The command line with another command."""
    return typed(["stem", command, *ctx.meta[WORDS][1:]])


def suggesting(error: click.UsageError) -> click.UsageError:
    """Let an unknown option suggest only options that the help lists; a unique beginning is one."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error
    listed = [
        name
        for option in error.ctx.command.params
        if isinstance(option, click.Option) and not option.hidden
        for name in (*option.opts, *option.secondary_opts)
        if name.startswith("--")
    ]
    begun = [name for name in listed if name.startswith(error.option_name)]
    near = get_close_matches(error.option_name, listed, n=2, cutoff=0.7)
    possible = begun if len(begun) == 1 else near
    return click.NoSuchOption(error.option_name, possibilities=possible, ctx=error.ctx)


def require_folder() -> None:
    """Require that the current folder exists: relative paths and the start of MKL depend on it.

    Raises:
        UsageError: the current folder was removed.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UsageError(
            "The current folder no longer exists. Change to another one with cd"
        ) from None


def refuse_empty(words: Sequence[str]) -> None:
    """Refuse empty arguments.

    Raises:
        CommandMisused: an argument is empty; the message names the word before it.
    """
    before = ["stem", *words]
    before_empty = [last for last, word in pairwise(before) if not word]
    before_empty += [word[:-1] for word in words if EMPTY_OPTION.fullmatch(word)]
    if before_empty:
        raise CommandMisused(
            f"The argument after {before_empty[0]} is empty; is a shell variable not set? Give a"
            " value, or leave the argument out"
        )


def refuse_misquoted(words: Sequence[str]) -> None:
    """Refuse what is left of quotes that cmd and PowerShell read in another way.

    Raises:
        CommandMisused: an argument holds such a quote.
    """
    if problem := misquoted(words):
        raise CommandMisused(problem)


def _interrupted(*hints: object) -> click.exceptions.Exit:
    """Print the interruption and how to resume; return the exit that shells expect."""
    message = " ".join(["Interrupted.", *map(str, hints)])
    click.echo(printable(message), err=True)
    write_interrupted(message, INTERRUPTED)
    return click.exceptions.Exit(INTERRUPTED)


def _dashed(words: Sequence[str]) -> str:
    """Return the spelling of a file whose name was taken for an option; else empty."""
    file = next((word for word in words if word.startswith("-") and Path(word).is_file()), None)
    return f"For the file of that name use {quoted(f'./{file}')}" if file else ""


class CommandFailed(click.ClickException):
    """An error that is printed as one sentence on stderr, and with ``--json`` as JSON on stdout.

    Args:
        message: the sentence.
        kind: name of the class of the error.
    """

    def __init__(self, message: str, kind: str = "StemError") -> None:
        super().__init__(printable(message))
        self.kind, self.sentence = kind, message

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error."""
        super().show(file)
        write_error(self.kind, self.sentence, self.exit_code)


class CommandMisused(CommandFailed):
    """A wrong request; exit code 2."""

    exit_code = 2

    def __init__(self, message: str, kind: str = "UsageError") -> None:
        super().__init__(message, kind)


def _misused(error: click.UsageError, command: str, hint: str = "") -> CommandMisused:
    """Return a usage error as one line; ``command`` is the fallback if click knows no command."""
    error = suggesting(error)
    command = error.ctx.command_path if error.ctx else command
    return CommandMisused(f"{error.format_message()} ({hint or f'See: {command} --help'})")


def as_click_error(error: Exception) -> Exception:
    """Return the click exception that prints ``error`` and sets the exit code."""
    failure = CommandMisused if isinstance(error, UsageError) else CommandFailed
    return failure(describe_error(error), type(error).__name__)


def lower_case(token: str) -> str:
    """Accept ``--format WAV`` for ``wav``; short options keep their case."""
    return token if len(token) == 1 else token.casefold()


def print_version(ctx: click.Context, parameter: click.Parameter, is_set: bool) -> None:
    """Print the version from the metadata of the installed package."""
    if is_set and not ctx.resilient_parsing:
        click.echo(version_line())
        ctx.exit()


def version_line() -> str:
    """``stem`` and the version of the installed package."""
    return f"stem {version.number() or '(from a source folder, not installed)'}"


@click.group(
    cls=Stem,
    table=COMMANDS,
    context_settings={
        "help_option_names": HELP_NAMES,
        "max_content_width": 100,
        "token_normalize_func": lower_case,
    },
    epilog=examples(
        ("stem separate song.mp3", "vocals and instrumental, in the folder separated/song"),
        ("stem batch Music --output Stems", "a whole library"),
        ("stem separate --help", "all options of a command"),
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
    """Separate songs into stems, and train the networks that do it."""


def tidy_up_when_ended() -> None:
    """Remove half-written files on ``kill``, Ctrl-Break, shutdown and a closed terminal.

    A signal that is already ignored (``nohup``) stays ignored.
    """
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)


_received: list[int] = []
"""Numbers of the signals that have ended this process."""


def _end(number: int, frame: object) -> NoReturn:
    _received.append(number)
    raise SystemExit(ENDED + number)


def main() -> NoReturn:
    """Run the command line of this process, and end the process."""
    secure_streams()
    complete_environment()
    if "_STEM_COMPLETE" in os.environ:
        from stemcli.cli.completion import answer

        raise SystemExit(answer(os.environ["_STEM_COMPLETE"]))
    tidy_up_when_ended()
    code: str | int | None = 0
    try:
        stem.main(prog_name="stem")
    except SystemExit as end:
        # Ray (2.58 to 2.60) replaces the code with 1 while ray.wait runs.
        code = ENDED + _received[0] if _received else end.code
    raise SystemExit(code or int(is_incomplete(sys.stdout)))

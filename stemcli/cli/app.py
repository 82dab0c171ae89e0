"""The ``stem`` command: its table of commands and what happens when one of them fails."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click

from model_zoo.errors import UsageError
from stemcli.batch.sentences import sentence
from stemcli.cli.lazy import Entry, LazyGroup
from stemcli.cli.options import is_verbose
from stemcli.cli.words import examples, printable, quoted

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended

COMMANDS = {
    "separate": Entry("stemcli.cli.separate:command", "Take one or more songs apart."),
    "batch": Entry("stemcli.cli.batch:command", "Take every song of a folder apart."),
    "models": Entry("stemcli.cli.models:group", "See, check and add the networks that separate."),
    "train": Entry("trainers.cli.train:command", "Train a network of your own.", extra="train"),
    "eval": Entry("trainers.cli.evaluate:command", "Measure how well it separates.", extra="eval"),
    "doctor": Entry("stemcli.cli.doctor:command", "Check that this computer has all it takes."),
}


class Stem(LazyGroup):
    """The root group: the one place where an error becomes a sentence and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was typed."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            if is_verbose(ctx):
                click.echo(traceback.format_exc(), err=True)
            raise as_click_error(error) from error

    def unknown_command(self, ctx: click.Context, name: str) -> Exception:
        """A file or folder in the place of a command gets the command that takes it."""
        if Path(name).is_dir():
            return UsageError(f"{name} is a folder. Type: stem batch {quoted(name)}")
        if Path(name).is_file():
            return UsageError(f"{name} is a file. Type: stem separate {quoted(name)}")
        return super().unknown_command(ctx, name)


class Failed(click.ClickException):
    """An error as one sentence on stderr."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class Misused(Failed):
    """The same for a request that is itself wrong."""

    exit_code = 2


def as_click_error(error: Exception) -> Exception:
    """What click prints and exits with; a reader that went away (``| head``) is no error."""
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return error
    is_misuse = isinstance(error, UsageError)
    return Misused(sentence(error)) if is_misuse else Failed(sentence(error))


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


def main() -> NoReturn:
    """Entry point of ``stem`` and of ``python -m stemcli``; always ends the process."""
    stem.main(prog_name="stem")
    raise SystemExit(0)

"""``stem batch``: separates all songs in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from model_zoo.errors import MissingExtraError, UsageError
from model_zoo.shell import quoted
from stemcli.cli import candidates
from stemcli.cli.app import typed_as
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples
from stemcli.cli.options import Existing, console_options, folder_or_url, separation_options
from stemcli.cli.options import report as report_path
from stemcli.cli.parameter_types import WholeNumber
from stemcli.cli.settings_command import SettingsCommand
from stemcli.remote_path import UrlPath
from stemcli.streams import STANDARD_STREAM, quiet_stderr

if TYPE_CHECKING:
    from stemcli.batch.executor import OpenExecutor
    from stemcli.engine.options import Options


OWN = ("recursive", "include", "exclude", "report_file", "retries", "cluster")
"""Parameters that ``stem separate`` does not have."""


def one_folder(ctx: click.Context, parameter: click.Parameter, folders: Sequence[Path]) -> Path:
    """The folder, if there is only one.

    Raises:
        click.UsageError: there are several; the message says what to type for them.
    """
    if ctx.resilient_parsing or len(folders) == 1:
        return folders[0] if folders else Path()
    found = f"stem batch reads one folder, found {len(folders)} paths"
    if not any(map(os.path.isdir, folders)):
        songs = " ".join(quoted(str(path)) for path in folders)
        raise click.UsageError(f"{found}. For songs try: stem separate {songs}", ctx)
    included = " ".join(f"--include {quoted(folder.name)}" for folder in folders)
    raise click.UsageError(
        f"{found}. Run it once for each, or name the folder above them: stem batch DIR {included}",
        ctx,
    )


@click.command(
    "batch",
    cls=SettingsCommand,
    epilog=examples(
        ("stem batch Music", "every song below Music, into separated/ with the same sub-folders"),
        ("stem batch Music -o Stems --report stems.csv", "run it again to resume"),
        ('stem batch Music --exclude "Live*" --format flac --jobs 2', "all but live recordings"),
    ),
)
@click.argument(
    "folder",
    metavar="DIR",
    nargs=-1,
    required=True,
    type=folder_or_url,
    callback=one_folder,
    shell_complete=candidates.folders,
)
@click.option(
    "--recursive/--no-recursive", default=True, show_default=True, help="Search sub-folders too."
)
@click.option(
    "--include",
    multiple=True,
    metavar="PATTERN",
    help='Separate only songs whose file name or one of whose folders matches, e.g. "*.flac" or'
    ' "Abbey Road". * and ? are wildcards; may be repeated.',
)
@click.option(
    "--exclude", multiple=True, metavar="PATTERN", help="Skip songs that match; may be repeated."
)
@click.option(
    "--report",
    "report_file",
    type=report_path,
    shell_complete=candidates.files,
    metavar="FILE",
    help="Write the result of each song to a .json or .csv file.",
)
@click.option(
    "--retries",
    type=WholeNumber(0, 10),
    default=0,
    show_default=True,
    help="Retry failed songs up to this many times at the end.",
)
@click.option(
    "--cluster",
    is_flag=True,
    help="Distribute the songs over the Ray cluster at RAY_ADDRESS; if that is not set, use this"
    " machine alone. Folders must have the same paths on all machines. --jobs is then the number of"
    " workers on each machine without GPUs.",
)
@separation_options
@console_options
def command(
    *,
    folder: Path,
    recursive: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    report_file: Path | None,
    retries: int,
    cluster: bool,
    options: Options,
    jobs: int,
    console: Console,
) -> None:
    """Separate every song in a folder.

    Stems are written to the same sub-folders as the songs. Before it starts, the command checks
    that no two songs would write the same file. Failed songs are listed at the end; they do not
    stop the others. A journal in the output folder records finished songs: after an interruption,
    run the same command again to separate only songs that are missing, changed or failed, or add
    --overwrite to redo all. Save options that you always use with stem config.
    """
    from stemcli.batch.executor import open_local
    from stemcli.batch.journal import Journal
    from stemcli.batch.library import find_songs, require_songs
    from stemcli.batch.report import check_report
    from stemcli.batch.run import separate_songs
    from stemcli.cli.models_pull import agree_to_models
    from stemcli.remote_path import as_path

    refuse_file(folder, click.get_current_context())
    refuse_pipes(folder, options)
    if report_file:
        check_report(report_file)
    output = as_path(options.output)
    found = find_songs(folder, recursive=recursive, include=include, exclude=exclude, output=output)
    require_songs(found, folder)
    console.found(found)
    agree_to_models(options, console)
    open_executor = choose_cluster(console) if cluster else open_local
    quiet = quiet_stderr(not console.verbose)
    with resume_hint(options.existing), quiet, console, Journal(output) as journal:
        report = separate_songs(
            found.songs,
            replace(options, fall_back_to_only_track=True),
            jobs=jobs,
            retries=retries,
            journal=journal,
            on_event=console.show,
            open_executor=open_executor,
        )
    if report_file:
        report.write(report_file)
    console.report(report)
    console.traces(report)
    is_incomplete = bool(found.unreadable or found.unclear)
    click.get_current_context().exit(1 if is_incomplete else report.exit_code)


def refuse_file(folder: Path, ctx: click.Context) -> None:
    """Refuse a song in the place of the folder.

    Raises:
        UsageError: ``folder`` is a file; the message has the command for it, unless an option was
            typed that the other command does not have.
    """
    is_typed = (ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE for name in OWN)
    if not isinstance(folder, UrlPath) and folder.is_file() and not any(is_typed):
        raise UsageError(f"{folder} is a file. Try: {typed_as('separate', ctx)}")


def refuse_pipes(folder: Path, options: Options) -> None:
    """Refuse ``-`` for standard input or output, which are for one song.

    Raises:
        UsageError: the input or the output is ``-``; the message names the command for one song.
    """
    if str(folder) == STANDARD_STREAM:
        raise UsageError(
            "- is standard input, and stem batch reads a folder. Try: stem separate - "
            "(for a folder of that name: ./-)"
        )
    if options.output == STANDARD_STREAM:
        raise UsageError(
            "-o - is standard output, and stem batch writes many files. Try: stem separate SONG "
            "--stems vocals -o - (for a folder of that name: ./-)"
        ).about("output")


def choose_cluster(console: Console) -> OpenExecutor:
    """Return the function that opens the cluster; prints a line because joining takes a while.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    try:
        from stemcli.batch.ray_executor import open_cluster
    except ImportError as error:
        raise MissingExtraError("Ray, which --cluster needs,", "cluster") from error
    address = os.environ.get("RAY_ADDRESS")
    console.line(f"Joining the cluster at {address}" if address else "Starting Ray")
    return open_cluster


@contextmanager
def resume_hint(existing: Existing) -> Iterator[None]:
    """Say after Ctrl-C how to resume; ``--overwrite`` would start over."""
    try:
        yield
    except KeyboardInterrupt:
        how = " without --overwrite" if existing == "overwrite" else ""
        raise KeyboardInterrupt(f"To resume, run the same command again{how}.") from None

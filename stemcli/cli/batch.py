"""``stem batch``: all songs of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from model_zoo.errors import MissingExtraError
from stemcli.cli.console import Console
from stemcli.cli.formatting import examples
from stemcli.cli.options import Existing, console_options, place, separation_options
from stemcli.cli.options import report as report_path
from stemcli.streams import quiet_stderr

if TYPE_CHECKING:
    from stemcli.batch.executor import OpenExecutor
    from stemcli.engine.options import Options


@click.command(
    "batch",
    epilog=examples(
        ("stem batch Music", "every song below Music, in separated/ with the same sub-folders"),
        ("stem batch Music -o Stems --report stems.csv", "typed again: goes on where it stopped"),
        ("stem batch Music --exclude 'Live*' --format flac --jobs 2", "all but the concerts"),
    ),
)
@click.argument("folder", metavar="DIR", type=place)
@click.option(
    "--recursive/--no-recursive", default=True, show_default=True, help="Visit sub-folders too."
)
@click.option(
    "--include",
    multiple=True,
    metavar="PATTERN",
    help="Take only songs that fit, by the name of the file or of one of its folders, e.g. '*.flac'"
    " or 'Abbey Road'. * and ? stand for anything; may be repeated.",
)
@click.option(
    "--exclude", multiple=True, metavar="PATTERN", help="Leave out songs that fit; may be repeated."
)
@click.option(
    "--report",
    "report_file",
    type=report_path,
    metavar="FILE",
    help="Write what became of each song to a .json or .csv file.",
)
@click.option(
    "--retries",
    type=click.IntRange(0, 10),
    default=0,
    show_default=True,
    help="Try songs that failed so often again when all others are done.",
)
@click.option(
    "--cluster",
    is_flag=True,
    help="Share the work among the machines of a Ray cluster: the one that RAY_ADDRESS names, else"
    " this machine alone. Folders must have the same paths on all of them. --jobs is then how many"
    " workers share a machine without GPUs.",
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
    """Take every song of a folder apart.

    The stems lie in sub-folders like those of the songs. Nothing begins before it is sure that no
    two songs would write the same file; a song that fails is named at the end and the others are
    done. A journal in the output folder remembers what was done: the same command again, after
    whatever stopped it, does only what is missing, changed or failed; with --overwrite, everything.
    """
    from stemcli.batch.executor import open_local
    from stemcli.batch.journal import Journal
    from stemcli.batch.library import find_songs, require_songs
    from stemcli.batch.report import check_report
    from stemcli.batch.run import separate_songs
    from stemcli.remote_path import as_path

    if report_file:
        check_report(report_file)
    output = as_path(options.output)
    found = find_songs(folder, recursive=recursive, include=include, exclude=exclude, output=output)
    require_songs(found, folder)
    console.found(found)
    open_executor = choose_cluster(console) if cluster else open_local
    quiet = quiet_stderr(not console.verbose)
    with goes_on(options.existing), quiet, console, Journal(output) as journal:
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


def choose_cluster(console: Console) -> OpenExecutor:
    """The machines of a cluster, which take a while to begin.

    Raises:
        MissingExtraError: a cluster needs Ray, which is not installed.
    """
    try:
        from stemcli.batch.ray_executor import open_cluster
    except ImportError as error:
        raise MissingExtraError("Ray, which --cluster needs,", "cluster") from error
    address = os.environ.get("RAY_ADDRESS")
    console.line(f"Joining the cluster at {address}" if address else "Starting Ray")
    return open_cluster


@contextmanager
def goes_on(existing: Existing) -> Iterator[None]:
    """Say after a Ctrl-C how to go on; ``--overwrite`` would begin anew."""
    try:
        yield
    except KeyboardInterrupt:
        how = " without --overwrite" if existing == "overwrite" else ""
        raise KeyboardInterrupt(f"To go on, run the same command again{how}.") from None

"""Prints the problems of training data one per line, as ``stem data check`` does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_zoo.errors import DataError
from model_zoo.shell import quoted
from stemcli.cli.app import CommandFailed
from stemcli.cli.console import Console


class DataRefused(CommandFailed):
    """The last of several problems of the data; with ``--json`` the document has all of them."""

    def __init__(self, line: str, error: DataError) -> None:
        super().__init__(line, type(error).__name__)
        self.sentence = str(error)


@contextmanager
def problems_in_lines(data: Path | None, console: Console) -> Iterator[None]:
    """Print several problems of training data as one line each.

    Args:
        data: the data folder; None for synthetic songs.
        console: console to print to.

    Raises:
        DataRefused: there are several problems.
        DataError: there is only one, or the error comes from another process as one sentence.
    """
    try:
        yield
    except DataError as error:
        problems = getattr(error, "problems", [])
        if len(problems) < 2:
            raise
        lines = problems[: DataError.SHOWN]
        if more := len(problems) - len(lines):
            lines.append(
                f"And {more} more. All are listed by: stem data check {quoted(data or '')}"
            )
        for line in lines[:-1]:
            console.error(line)
        raise DataRefused(lines[-1], error) from error

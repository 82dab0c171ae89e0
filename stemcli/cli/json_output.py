"""Documents of ``--json`` on standard output, and the one by which an error ends a command.

``stemcli/events.schema.json`` describes every document. Objects with ``event`` carry the version of
that schema, which rises when a field or event is removed, renamed or changes its type.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import click

SCHEMA = 1
"""Version of the schema."""

_is_requested = ContextVar("_is_requested", default=False)


def write_document(value: Any) -> None:
    """Print ``value`` as one line of JSON, in ASCII, so that no encoding can spoil it.

    NaN and infinity, which JSON does not have, become null.
    """
    if isinstance(value, Mapping) and "event" in value:
        value = {**value, "schema": SCHEMA}
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value))
    click.echo(text)


@contextmanager
def json_if_requested(words: Sequence[str]) -> Iterator[None]:
    """Print errors as JSON, too, if ``--json`` is among the words of a command line.

    That holds wherever it stands before ``--``, even if the words cannot be parsed.
    """
    options = words[: words.index("--")] if "--" in words else words
    token = _is_requested.set("--json" in options)
    try:
        yield
    finally:
        _is_requested.reset(token)


def write_error(kind: str, message: str, exit_code: int) -> None:
    """Print the error that ends a command, if JSON was requested.

    Args:
        kind: name of its class.
        message: the sentence on standard error.
        exit_code: of the command.
    """
    if _is_requested.get():
        error = {"kind": kind, "message": message, "exit_code": exit_code}
        write_document({"event": "error", **error})


def write_interrupted(message: str, exit_code: int) -> None:
    """Print that Ctrl-C ended a command, if JSON was requested."""
    if _is_requested.get():
        write_document({"event": "interrupted", "message": message, "exit_code": exit_code})


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Checks of the arguments of the Python interface, each with a sentence for its user."""

from __future__ import annotations

import inspect
import operator
import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from model_zoo.errors import UsageError
from stemcli.engine.inputs import is_file_object, name_of
from stemcli.engine.options import Options
from stemcli.remote_path import UrlPath, as_path, is_url

FILE_KINDS = "a path, a URL or a file object opened for bytes"


def check_song(song: object) -> None:
    """Check that a song is a path, a URL or a file object.

    Raises:
        UsageError: it is something else, or an impossible path.
    """
    if is_file_object(song):
        return
    if isinstance(song, (bytes, bytearray, memoryview)):
        raise UsageError("song is bytes. Use song=io.BytesIO(data), name='song.mp3'")
    if not isinstance(song, (str, os.PathLike)):
        kind = type(song).__name__
        if is_array(song):
            raise UsageError(
                f"song is of type {kind}. Use separate_array(wave, sample_rate) for waveforms"
            )
        raise UsageError(f"song is of type {kind}. Use {FILE_KINDS}")
    check_path("song", song)


def check_path(argument: str, path: str | os.PathLike[str]) -> str:
    """Check that a path is text, not empty and without null characters; return it.

    Raises:
        UsageError: it is not.
    """
    text = str(path) if isinstance(path, PurePath) else os.fspath(path)
    if not isinstance(text, str):
        raise UsageError(f"{argument} is {text!r}, a path of bytes. Use os.fsdecode({argument})")
    if not text:
        raise UsageError(f"{argument} is an empty string. Use the path of a song")
    if "\0" in text:
        raise UsageError(f"{argument} is {text!r}, with a null character. Use the path of a song")
    return text


def named_path(song: object) -> Path:
    """The path of a song whose outputs are planned; a song at a URL is known by its file name.

    Raises:
        UsageError: the song is a file object or no path.
    """
    if is_file_object(song):
        raise UsageError("song is a file object. Use the name of its file, e.g. 'song.mp3'")
    check_song(song)
    if isinstance(song, str) and is_url(song):
        local = as_path(song)
        return Path(name_of(song)) if isinstance(local, UrlPath) else local
    return song if isinstance(song, Path) else Path(song)  # type: ignore[arg-type]


def as_name(name: object) -> str:
    """Check the ``name`` of a song and convert it to text.

    Raises:
        UsageError: it is no text.
    """
    found = os.fspath(name) if isinstance(name, os.PathLike) else name
    if not isinstance(found, str):
        raise UsageError(f"name is {name!r}. Use the name of a file, e.g. name='song.mp3'")
    return found


def as_folder(folder: object) -> Path:
    """Check a sub-folder of the output folder and convert it to a path; None is no sub-folder.

    Raises:
        UsageError: it is no path, or leaves the output folder.
    """
    if folder is None:
        return Path()
    if not isinstance(folder, (str, os.PathLike)):
        raise UsageError(f"folder is {folder!r}. Use a path below the output folder, or None")
    path = Path(folder)
    if path.anchor or ".." in path.parts or "\0" in str(path):
        raise UsageError(
            f"folder is {str(path)!r}, which is not below the output folder. Use a relative path, "
            "or choose the output folder with Session(output=...)"
        )
    return path


def check_handler(on_event: object) -> None:
    """Check that a handler of events can be called and needs no ``await``.

    Raises:
        UsageError: it is not.
    """
    if on_event is None:
        return
    if not callable(on_event):
        raise UsageError(
            f"on_event is of type {type(on_event).__name__}. Use a function that takes an event"
        )
    called = type(on_event).__call__
    if inspect.iscoroutinefunction(on_event) or inspect.iscoroutinefunction(called):
        raise UsageError(
            "on_event is an async function, which would never run. Use a def that starts it, e.g. "
            "on_event=queue.put_nowait"
        )


def as_jobs(jobs: Any) -> int:
    """Check a number of songs at the same time.

    Raises:
        UsageError: it is not a whole number from 1.
    """
    try:
        number = 0 if isinstance(jobs, bool) else operator.index(jobs)
    except TypeError:
        number = 0
    if number < 1:
        raise UsageError(f"jobs is {jobs!r}. Use a whole number from 1")
    return number


def check_options(options: object) -> None:
    """Check that the options of a session are :class:`Options` or None.

    Raises:
        UsageError: they are not; the message says how to give them.
    """
    if options is None or isinstance(options, Options):
        return
    if isinstance(options, (str, os.PathLike)):
        raise UsageError(f"options is {options!r}. For a model use Session(model={options!r})")
    if isinstance(options, Mapping):
        raise UsageError("options is a mapping. Use Session(**options)")
    raise UsageError(f"options is of type {type(options).__name__}. Use stemcli.Options(...)")


def is_array(value: object) -> bool:
    """Whether ``value`` is an array or a tensor of any library."""
    return hasattr(value, "__array__") and not isinstance(value, type)

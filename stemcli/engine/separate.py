"""Separates one song in one call: the functions that most Python programs need."""

from __future__ import annotations

import os
from typing import Any, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import UsageError
from stemcli.engine.arguments import FILE_KINDS, check_song, is_array
from stemcli.engine.events import EventHandler
from stemcli.engine.inputs import Song, is_file_object
from stemcli.engine.options import OptionFields, Options
from stemcli.engine.session import Session
from stemcli.engine.song import Result
from stemcli.engine.waves import Wave

FILE_FIELDS = (
    "output",
    "filename",
    "format",
    "depth",
    "bitrate",
    "quality",
    "clip_mode",
    "existing",
    "picture",
    "track",
    "fall_back_to_only_track",
)
"""Options without effect on a waveform, for which no file is read or written."""

SESSION_ARGUMENTS = ("options", "jobs", "load")
"""Arguments that only a session takes."""


@overload
def separate(
    song: Song,
    *,
    name: str | os.PathLike[str] = ...,
    on_event: EventHandler | None = ...,
    **options: Unpack[OptionFields],
) -> Result: ...
@overload
def separate(
    song: Wave,
    *,
    sample_rate: float,
    on_event: EventHandler | None = ...,
    **options: Unpack[OptionFields],
) -> dict[str, NDArray[np.float32]]: ...
def separate(
    song: Any,
    *,
    sample_rate: float | None = None,
    name: str | os.PathLike[str] = "",
    on_event: EventHandler | None = None,
    **options: Any,
) -> Any:
    """Separate one song: a file into files, or a waveform into waveforms.

    Args:
        song: path or URL of any audio file that can be decoded; a file object opened for bytes,
            which is read to its end; or a waveform ``(frames, channels)`` of floats.
        sample_rate: of a waveform, in Hz.
        name: file name of a file object that has none; ``{track}`` is its part before the
            extension.
        on_event: called with every event.
        **options: fields of :class:`~stemcli.engine.options.Options`, e.g. ``model``.

    Returns:
        For a file a :class:`~stemcli.engine.song.Result` with the paths of the stems; for a
        waveform stem name to ``(frames, channels)`` of float32 at the same rate.

    Raises:
        StemError: the song cannot be separated; ``str(error)`` is the sentence to show.
    """
    rate = check_arguments(song, sample_rate, name, options)
    session = Session(on_event=on_event, **options)
    if rate is None:
        return session.separate_file(song, name=name)
    return session.separate_array(song, rate)


async def separate_in_thread(
    song: Any,
    sample_rate: float | None,
    name: str | os.PathLike[str],
    on_event: EventHandler | None,
    options: dict[str, Any],
) -> Any:
    """Separate one song in a thread: the work of ``separate_async``."""
    rate = check_arguments(song, sample_rate, name, options)
    session = Session(on_event=on_event, **options)
    if rate is None:
        return await session.separate_file_async(song, name=name)
    return await session.separate_array_async(song, rate)


def check_arguments(
    song: object,
    sample_rate: float | None,
    name: str | os.PathLike[str],
    options: dict[str, Any],
) -> float | None:
    """Check that the arguments of a call fit each other.

    Returns:
        The sample rate of a waveform; None if ``song`` is a file.

    Raises:
        ConfigError: an argument is unknown.
        UsageError: ``song`` is neither a file nor a waveform, or an argument is for the other kind
            or for a session.
    """
    others = [argument for argument in SESSION_ARGUMENTS if argument in options]
    if others:
        raise UsageError(
            f"{', '.join(others)}: separate takes fields of Options. Use "
            "stemcli.Session(options, ...).separate_file(song)"
        )
    Options(**{field: options[field] for field in options.keys() - OptionFields.__annotations__})
    if isinstance(song, (str, os.PathLike)) or is_file_object(song):
        if sample_rate is not None:
            raise UsageError("sample_rate is for waveforms; a file states its own. Leave it out")
        return None
    if song is None or isinstance(song, (bytes, bytearray, memoryview)):
        check_song(song)
    if sample_rate is None:
        raise UsageError(_without_rate(song))
    without_effect = [field for field in FILE_FIELDS if field in options] + ["name"] * bool(name)
    if without_effect:
        raise UsageError(
            f"{', '.join(without_effect)}: a waveform is returned as waveforms, and no file is "
            "written. Leave out these options, or use the path of a file"
        )
    return sample_rate


def _without_rate(song: object) -> str:
    kind = type(song).__name__
    if is_array(song):
        return f"song is of type {kind}, a waveform. Add its rate in Hz, e.g. sample_rate=44100"
    if isinstance(song, tuple):
        return "song is a tuple. For a waveform and its rate use separate(wave, sample_rate=rate)"
    return (
        f"song is of type {kind}. Use {FILE_KINDS}, or a waveform and its rate, e.g. "
        "sample_rate=44100"
    )

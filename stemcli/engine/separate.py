"""Separates one song in one call: the functions that most Python programs need."""

from __future__ import annotations

import os
from typing import Any, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import UsageError
from stemcli.engine.events import EventHandler
from stemcli.engine.inputs import Song, Wave, is_file_object
from stemcli.engine.options import OptionFields
from stemcli.engine.session import Session
from stemcli.engine.song import Result

FILE_FIELDS = (
    *(
        "output",
        "filename",
        "format",
        "depth",
        "bitrate",
        "quality",
        "clip_mode",
        "existing",
        "picture",
    ),
    *("track", "fall_back_to_only_track"),
)
"""Options without effect on a waveform, for which no file is read or written."""


@overload
def separate(
    song: Song,
    *,
    name: str = ...,
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
    name: str = "",
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
    if is_wave(song, sample_rate, name, options):
        assert sample_rate is not None
        return Session(on_event=on_event, **options).separate_array(song, sample_rate)
    return Session(on_event=on_event, **options).separate_file(song, name=name)


@overload
async def separate_async(
    song: Song,
    *,
    name: str = ...,
    on_event: EventHandler | None = ...,
    **options: Unpack[OptionFields],
) -> Result: ...
@overload
async def separate_async(
    song: Wave,
    *,
    sample_rate: float,
    on_event: EventHandler | None = ...,
    **options: Unpack[OptionFields],
) -> dict[str, NDArray[np.float32]]: ...
async def separate_async(
    song: Any,
    *,
    sample_rate: float | None = None,
    name: str = "",
    on_event: EventHandler | None = None,
    **options: Any,
) -> Any:
    """Separate one song in a thread, as :func:`separate` does, without blocking the event loop.

    ``on_event`` is called in the thread of the event loop. If the task is cancelled, the song ends
    at its next block, leaves no files, and then the cancellation is raised.

    Raises:
        StemError: the song cannot be separated; ``str(error)`` is the sentence to show.
        asyncio.CancelledError: the task was cancelled.
    """
    if is_wave(song, sample_rate, name, options):
        assert sample_rate is not None
        session = Session(on_event=on_event, **options)
        return await session.separate_array_async(song, sample_rate)
    return await Session(on_event=on_event, **options).separate_file_async(song, name=name)


def is_wave(song: object, sample_rate: float | None, name: str, options: dict[str, Any]) -> bool:
    """Whether ``song`` is a waveform; other arguments must fit.

    Raises:
        UsageError: ``song`` is neither a file nor a waveform, or an argument is for the other kind.
    """
    if isinstance(song, (str, os.PathLike)) or is_file_object(song):
        if sample_rate is not None:
            raise UsageError("sample_rate is for waveforms; a file states its own. Leave it out")
        return False
    if isinstance(song, (bytes, bytearray, memoryview)):
        raise UsageError("song is bytes. Use song=io.BytesIO(data), name='song.mp3'")
    if sample_rate is None:
        raise UsageError(
            f"song is of type {type(song).__name__}. Use a path, a file object opened for bytes, "
            "or a waveform and its rate, e.g. sample_rate=44100"
        )
    without_effect = [field for field in FILE_FIELDS if field in options] + ["name"] * bool(name)
    if without_effect:
        raise UsageError(
            f"{', '.join(without_effect)}: a waveform is returned as waveforms, and no file is "
            "written. Leave out these options, or use the path of a file"
        )
    return True

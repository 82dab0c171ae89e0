"""Songs as a Python program has them: paths, URLs, binary file objects and waveforms in memory."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import DecodeError, OutputError, StemError, UsageError
from stemcli.engine.overlap_add import Block
from stemcli.fetch import fetch
from stemcli.printable import name_part
from stemcli.remote_path import UrlPath, as_path, is_url

Song = str | os.PathLike[str] | IO[bytes]
"""A song as ``separate_file`` takes it: a path, a URL, or a file object opened for bytes."""

Wave = NDArray[np.floating[Any]]
"""A waveform ``(frames, channels)`` of floats, nominally in [-1, 1]."""

BLOCK = 65536
"""Frames per block of a waveform in memory."""

MOST_CHANNELS = 64
"""Channels of a waveform; no loudspeaker layout has more."""


def is_file_object(song: object) -> bool:
    """Whether ``song`` is a file object, which has a method ``read``."""
    return hasattr(song, "read")


def is_url_text(song: object) -> bool:
    """Whether ``song`` is a URL as text; a ``file:`` URL counts too."""
    return isinstance(song, str) and is_url(song)


def name_of(song: Song, name: str = "") -> str:
    """The file name of a song, from which ``{track}`` in a template of file names is taken.

    Args:
        song: a path, a URL or a file object.
        name: the name to use; by default that of the path or URL, or the ``name`` of the file
            object.

    Raises:
        UsageError: a file object has no name.
    """
    if is_url_text(song):
        from stemcli.web import url_name  # which loads OpenSSL

        return name_part(PurePath(name).name) or url_name(str(song)) or "download"
    if not is_file_object(song):
        given = name or os.fspath(song)  # type: ignore[arg-type]
        return PurePath(given).name if name else Path(given).name
    own = getattr(song, "name", "")
    given = name or (own if isinstance(own, str) and not own.startswith("<") else "")
    found = name_part(PurePath(given).name)
    if found in ("", ".", ".."):
        raise UsageError("The file object has no name. Add one for its stems, e.g. name='song.mp3'")
    return found


@contextmanager
def on_disk(song: Song, name: str = "", ended: threading.Event | None = None) -> Iterator[Path]:
    """The path of a song; URLs and file objects are copied to a temporary file with their name.

    Decoders seek, which pipes and sockets cannot do. A file object is read from its position to its
    end and stays open.

    Args:
        song: a path, a URL or a file object.
        name: see :func:`name_of`.
        ended: when it is set, a download stops at once with a KeyboardInterrupt.

    Raises:
        UsageError: the file object has no name, or was opened for text.
        OutputError: the temporary file cannot be written.
        StorageError: the URL cannot be reached, or the song is larger than the limit.
    """
    local = as_path(song) if is_url_text(song) else song  # type: ignore[arg-type]
    if not is_file_object(song) and not isinstance(local, UrlPath):
        yield Path(local)  # type: ignore[arg-type]
        return
    with TemporaryDirectory(prefix="stem-song-") as folder:
        path = Path(folder) / name_of(song, name)
        if is_file_object(song):
            _copy(song, path)  # type: ignore[arg-type]
        else:
            fetch(str(song), path, ended)
        try:
            yield path
        except StemError as error:
            error.args = (str(error).replace(str(path), path.name),)
            raise


def _copy(song: IO[bytes], path: Path) -> None:
    try:
        with path.open("wb") as copy:
            shutil.copyfileobj(song, copy)
    except TypeError as error:
        raise UsageError(
            f"{path.name} was opened for text. Open it for bytes: open(path, 'rb')"
        ) from error
    except OSError as error:
        raise OutputError(
            f"{path.name} cannot be copied to {path.parent} ({error.strerror or error}). Free some "
            "space there, or set TMPDIR to a folder on another disk"
        ) from error


def as_song(wave: Wave) -> Block:
    """Check a waveform and convert it to float32 frames.

    Raises:
        DecodeError: the waveform is not ``(frames, channels)`` of floats, or has so many channels
            that its axes must be swapped.
    """
    array = np.asarray(wave)
    if array.ndim != 2 or 0 in array.shape[1:] or not np.issubdtype(array.dtype, np.floating):
        kind = f"{array.dtype} of shape {array.shape}"
        raise DecodeError(f"The waveform is {kind}. Give floats of shape (frames, channels)")
    if array.shape[1] > MOST_CHANNELS:
        frames, channels = array.shape
        raise DecodeError(
            f"The waveform has {frames} frames of {channels} channels. Give (frames, channels), "
            "e.g. wave.T"
        )
    return array.astype(np.float32)


def as_rate(sample_rate: float) -> int:
    """Check a sample rate and convert it to an integer in Hz.

    Raises:
        DecodeError: the sample rate is not a whole number above 0.
    """
    if not sample_rate > 0 or not float(sample_rate).is_integer():
        raise DecodeError(f"The sample rate is {sample_rate!r}. Give Hz, e.g. 44100")
    return int(sample_rate)

"""Blocks of samples put aside on disk until the loudest of them is known."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import BinaryIO, cast

import numpy as np

from model_zoo.errors import OutputError
from stemcli.engine.buffer import Block

BLOCK = 65536
"""Frames read back at a time."""

ELSEWHERE = "choose another folder with --output"


class Spool:
    """Float32 blocks ``(frames, *shape)`` in files without names, which cannot be left behind.

    What finds no room in one folder goes on in the next.

    Args:
        folders: where to write, the first with room.
        shape: of one frame.

    Raises:
        OutputError: by every method, when no disk takes more.
    """

    def __init__(self, folders: Sequence[Path], *shape: int) -> None:
        self._folders, self._shape = folders, shape
        self._files: list[BinaryIO] = []
        self._left = iter(folders)
        self._next_file(None)

    def write(self, block: Block) -> None:
        """Put a block behind the others."""
        data = memoryview(np.ascontiguousarray(block, np.float32).tobytes())
        while data:
            try:
                data = data[self._files[-1].write(data) :]
            except OSError as error:
                self._next_file(error)

    def blocks(self) -> Iterator[Block]:
        """Everything from the first frame on; a frame may begin in one file and end in the next."""
        size = BLOCK * np.dtype(np.float32).itemsize * int(np.prod(self._shape))
        read = bytearray()
        with speaking(self._folders[0]):
            for file in self._files:
                file.seek(0, os.SEEK_SET)
                while data := file.read(size - len(read)):
                    read += data
                    if len(read) == size:
                        yield self._frames(read)
                        read = bytearray()
        if read:
            yield self._frames(read)

    def close(self) -> None:
        """Give the space back, whatever a full disk says."""
        for file in self._files:
            with suppress(OSError):
                file.close()

    def _frames(self, data: bytearray) -> Block:
        return np.frombuffer(data, np.float32).reshape(-1, *self._shape)

    def _next_file(self, error: OSError | None) -> None:
        """Go on in the next folder that takes a file."""
        for folder in self._left:
            try:
                # Without a buffer, so that a full disk leaves no doubt about what was written.
                file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - see close()
                self._files.append(cast(BinaryIO, file))
                return
            except OSError as refused:
                error = refused
        raise self._no_room(error) from error

    def _no_room(self, error: OSError | None) -> OutputError:
        where = " and ".join(map(str, dict.fromkeys(self._folders)))
        reason = (error and error.strerror) or error
        return OutputError(
            "The stems are kept in a temporary file until the loudest sample is known, and there is"
            f" no room for it in {where} ({reason}). Make room there, set TMPDIR to a folder on"
            " another disk, or type --clip-mode clamp, which needs no such file"
        )


def spool_folders(output: Path) -> list[Path]:
    """Where a spool may lie: in the temporary folder, or beside the stems.

    The folder that TMPDIR names comes first, because the user chose it; else the one with more
    room. The temporary folder is often memory, which a long song shall not fill, and the disk of
    the stems may have room for them alone.
    """
    try:
        temporary = Path(gettempdir())
    except OSError:  # there is none
        return [output]
    folders = [temporary, output]
    return folders if os.environ.get("TMPDIR") else sorted(folders, key=_room, reverse=True)


def _room(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


@contextmanager
def speaking(path: Path) -> Iterator[None]:
    """Turn what the file system says into an error with one sentence.

    Raises:
        OutputError: for every OSError inside.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        is_long = error.errno == errno.ENAMETOOLONG
        advice = "shorten it with --filename or --output" if is_long else ELSEWHERE
        raise OutputError(f"Cannot write to {path} ({reason}): {advice}") from error

"""Temporary files for blocks of samples until the loudest sample is known."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import BinaryIO, cast

import numpy as np

from model_zoo.errors import OutputError
from model_zoo.option_names import setting
from stemcli.audio.write_errors import explain_write_errors
from stemcli.engine.overlap_add import Block

BLOCK = 65536
"""Frames read back at a time."""


class Spool:
    """Float32 blocks ``(frames, *shape)`` in unnamed temporary files, which vanish when closed.

    If a folder is full, writing continues in the next one.

    Args:
        folders: folders to write to, in this order.
        shape: of one frame.

    Raises:
        OutputError: by every method, if all disks are full.
    """

    def __init__(self, folders: Sequence[Path], *shape: int) -> None:
        self._folders, self._shape = folders, shape
        self._files: list[BinaryIO] = []
        self._left = iter(folders)
        self._next_file(None)

    def write(self, block: Block) -> None:
        """Append a block."""
        data = memoryview(np.ascontiguousarray(block, np.float32).tobytes())
        while data:
            try:
                data = data[self._files[-1].write(data) :]
            except OSError as error:
                self._next_file(error)

    def blocks(self) -> Iterator[Block]:
        """All blocks from the first frame on; a frame may span two files."""
        size = BLOCK * np.dtype(np.float32).itemsize * int(np.prod(self._shape))
        read = bytearray()
        with explain_write_errors(self._folders[0]):
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
        """Delete the files; errors of a full disk are ignored."""
        for file in self._files:
            with suppress(OSError):
                file.close()

    def _frames(self, data: bytearray) -> Block:
        return np.frombuffer(data, np.float32).reshape(-1, *self._shape)

    def _next_file(self, error: OSError | None) -> None:
        """Continue in the next folder in which a file can be created."""
        for folder in self._left:
            try:
                # Unbuffered, so that after a full disk the number of written bytes is known.
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
            "The stems are kept in a temporary file until the loudest sample is known, and it does"
            f" not fit into {where} ({reason}). Free some space there, set TMPDIR to a folder on"
            f" another disk, or use {setting(clip_mode='clamp')}, which needs no such file"
        )


def spool_folders(output: Path) -> list[Path]:
    """Folders for a spool: the temporary folder and the folder of the stems.

    TMPDIR comes first if it is set, because the user chose it; otherwise the folder with more free
    space. The temporary folder is often in memory, which a long song should not fill, and the disk
    of the stems may have space for the stems alone.
    """
    try:
        temporary = Path(gettempdir())
    except OSError:  # there is no temporary folder
        return [output]
    folders = [temporary, output]
    return folders if os.environ.get("TMPDIR") else sorted(folders, key=_room, reverse=True)


def _room(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0

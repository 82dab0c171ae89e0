"""Blocks of samples put aside on disk until the loudest of them is known."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from model_zoo.errors import OutputError
from stemcli.engine.tape import Block

BLOCK = 65536
"""Frames read back at a time."""

ELSEWHERE = "choose another folder with --output"


class Spool:
    """Float32 blocks ``(frames, *shape)`` in a file without a name, which cannot be left behind.

    Args:
        folder: whose disk is used; it has to have room for the outputs anyway.
        shape: of one frame.

    Raises:
        OutputError: by every method, when the disk refuses.
    """

    def __init__(self, folder: Path, *shape: int) -> None:
        self._folder, self._shape = folder, shape
        with speaking(folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - see close()

    def write(self, block: Block) -> None:
        """Put a block behind the others."""
        with speaking(self._folder):
            self._file.write(np.ascontiguousarray(block, np.float32).tobytes())

    def blocks(self) -> Iterator[Block]:
        """Everything from the first frame on."""
        frame = np.dtype(np.float32).itemsize * int(np.prod(self._shape))
        with speaking(self._folder):
            self._file.seek(0, os.SEEK_SET)
            while data := self._file.read(BLOCK * frame):
                yield np.frombuffer(data, np.float32).reshape(-1, *self._shape)

    def close(self) -> None:
        """Give the space back, whatever a full disk says to what waits in a buffer."""
        with suppress(OSError):
            self._file.close()


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

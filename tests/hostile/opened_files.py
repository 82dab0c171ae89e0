"""Records which files of a folder are opened, as reported by the kernel."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from stemcli.process import Closing

if sys.platform != "linux":
    pytest.skip("needs Linux: inotify says which files are opened", allow_module_level=True)

_OPEN = 0x20  # IN_OPEN of inotify(7)
_HEADER = struct.Struct("iIII")  # watch, mask, cookie, length of the name


class Opened(Closing):
    """Records the files in some folders that any process opens during the block."""

    def __init__(self, *folders: Path) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._file = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._file >= 0, os.strerror(ctypes.get_errno())
        for folder in folders:
            added = library.inotify_add_watch(self._file, os.fsencode(folder), _OPEN)
            assert added >= 0, os.strerror(ctypes.get_errno())

    def close(self) -> None:
        os.close(self._file)

    def names(self) -> set[str]:
        """Names of the files opened since the last call."""
        opened = set()
        with suppress(BlockingIOError):
            while events := os.read(self._file, 65536):
                at = 0
                while at < len(events):
                    *_, length = _HEADER.unpack_from(events, at)
                    at += _HEADER.size
                    opened.add(os.fsdecode(events[at : at + length].rstrip(b"\0")))
                    at += length
        return opened - {""}

"""Write a stem as a stream of blocks, under a temporary name until it is complete."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePath
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from model_zoo.errors import EncodeError, OutputError
from stemcli.audio.encoders import Sink, encoder_notice, open_sink
from stemcli.audio.formats import RULES, OutputFormat
from stemcli.audio.resample import Resampler

Block = NDArray[np.float32]

TOKEN = 4
"""Random bytes in the name of a temporary file."""

SYSTEM_ERROR = 2
"""libsndfile's number for whatever the file system says (``SF_ERR_SYSTEM`` in sndfile.h)."""


class AudioWriter:
    """A stem that is being written.

    ``write`` blocks, ``close`` to finish the file, then ``commit`` to give it its name or
    ``discard`` to remove it. As a context manager it commits, or discards after an exception.

    Attributes:
        path: where the file will be.
        temporary: where it is until it is committed; the same folder and extension.
        notices: what the format made necessary, in sentences.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, format: OutputFormat) -> None:
        format.check_channels(channels)
        format.check_rate(sample_rate)
        if format.rules.lossless and format.depth == "auto":
            format = replace(format, depth="24")
        self.path = path
        self.temporary = beside(path)
        rate = format.rules.nearest_rate(sample_rate)
        self.notices = _notices(format, sample_rate, rate)
        self._channels, self._clips = channels, format.clips
        self._resampler = Resampler(sample_rate, rate, channels)
        self._state = "open"
        with self._speaking():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._sink: Sink = open_sink(self.temporary, rate, channels, format)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._state in ("open", "closed"):
                self.commit()
        finally:
            self.discard()

    def write(self, block: Block) -> None:
        """Append frames.

        Args:
            block: ``(n, channels)``; beyond [-1, 1] it is clipped, but for floating point files.

        Raises:
            EncodeError: the block holds NaN, or the encoder gave up.
            OutputError: the disk is full, or the folder is gone.
        """
        assert block.shape[1:] == (self._channels,), "blocks are (n, channels)"
        self._append(self._resampler.push(block))

    def close(self) -> None:
        """Finish the file; once is enough, more does no harm."""
        if self._state == "open":
            self._append(self._resampler.finish())
            with self._speaking():
                self._sink.close()
            self._state = "closed"

    def commit(self) -> None:
        """Finish the file if that is still to do, and give it its name, replacing what had it."""
        self.close()
        with self._speaking():
            os.replace(self.temporary, self.path)
        self._state = "committed"

    def discard(self) -> None:
        """Remove the file, unless it was committed."""
        if self._state == "open":
            # What waits in a buffer has nowhere to go, least of all on a full disk.
            with suppress(OSError, soundfile.LibsndfileError):
                self._sink.abort()
        if self._state in ("open", "closed"):
            self.temporary.unlink(missing_ok=True)
            self._state = "discarded"

    def _append(self, block: Block) -> None:
        if not len(block):
            return
        if np.isnan(block).any():
            raise EncodeError(f"{self.path} would hold NaN: type --precision fp32")
        with self._speaking():
            self._sink.write(np.clip(block, -1, 1) if self._clips else block)

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn what the file system and libsndfile say into one sentence."""
        try:
            yield
        except (OSError, soundfile.LibsndfileError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if getattr(error, "code", None) == SYSTEM_ERROR:
                reason = "the system refuses: there is no room or no right to write"
            raise OutputError(
                f"{self.path} cannot be written ({reason}): type --output with another folder"
            ) from error


def open_writer(
    path: Path | str, sample_rate: int, channels: int, format: OutputFormat
) -> AudioWriter:
    """Begin a file.

    Args:
        path: its final name; folders above it are made.
        sample_rate: of the blocks, in Hz. mp3, opus and m4a know certain rates only; other sound is
            resampled to the next higher one, which :attr:`AudioWriter.notices` tells.
        channels: of the blocks.
        format: ``"auto"`` depth means 24 bits here; see :meth:`OutputFormat.resolve`.

    Raises:
        EncodeError: the format cannot hold that many channels, or so high a sample rate.
        OutputError: nothing can be written there.
        FfmpegMissingError: the format needs ffmpeg, and there is none.
    """
    return AudioWriter(Path(path), sample_rate, channels, format)


def leftovers(path: Path) -> list[Path]:
    """Temporary files of ``path`` that a killed process left; of a living one too, if there is."""
    folder = path.parent
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    files = map(path.with_name, names)
    return [file for file in files if is_temporary_of(file, path)]


def is_temporary_of(temporary: PurePath, path: PurePath) -> bool:
    """Whether :func:`beside` may have given ``temporary`` for ``path``."""
    begin, end = _temporary_name(path)
    token = f"[0-9a-f]{{{2 * TOKEN}}}"
    rule = f"{re.escape(begin)}{token}{re.escape(end)}"
    return temporary.parent == path.parent and bool(re.fullmatch(rule, temporary.name, re.DOTALL))


def beside(path: Path) -> Path:
    """A new hidden name in the same folder, for as long as the file is not complete."""
    begin, end = _temporary_name(path)
    return path.with_name(f"{begin}{secrets.token_hex(TOKEN)}{end}")


def _temporary_name(path: PurePath) -> tuple[str, str]:
    """What stands before and behind the random part; a long name is cut, lest it be too long."""
    return f".{path.stem[:40]}.", f".part{path.suffix}"


def _notices(format: OutputFormat, asked: int, rate: int) -> list[str]:
    notices = [encoder_notice(format)]
    if asked != rate:
        keeper = "flac" if asked <= (RULES["flac"].highest_rate or asked) else "wav"
        written = f"written at {rate} Hz (--format {keeper} keeps it)"
        notices.append(f"{format.name} does not know {asked} Hz: {written}")
    return [*filter(None, notices)]

"""Writes a stem as a stream of blocks, under a temporary name until it is complete."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePath
from types import TracebackType
from typing import Self
from zlib import crc32

import numpy as np
import soundfile
from numpy.typing import NDArray

from model_zoo.errors import EncodeError
from model_zoo.files import replace_file
from model_zoo.option_names import setting
from stemcli.audio.encoders import Sink, encoder_notice, open_sink
from stemcli.audio.formats import RULES, OutputFormat
from stemcli.audio.resample import Resampler
from stemcli.audio.write_errors import explain_write_errors

Block = NDArray[np.float32]

TOKEN = 4
"""Random bytes in the name of a temporary file."""

LONGEST_STEM = 40
"""Characters of a file name that its temporary name repeats."""

PART, OLDER = "part", "old"
"""Part of the names of files that are not complete, and of older files that are replaced."""

SYSTEM_ERROR = 2
"""libsndfile's code for errors of the file system (``SF_ERR_SYSTEM`` in sndfile.h)."""


class AudioWriter:
    """Writes one stem.

    ``write`` blocks, ``close`` to finish the file, then ``commit`` to rename it to its final name
    or ``discard`` to remove it. As a context manager it commits, or discards after an exception.

    Attributes:
        path: final path of the file.
        temporary: path until the commit, in the same folder and with the same extension.
        notices: sentences about adjustments that the format needs.
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
        with self._explain_write_errors():
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
            block: ``(n, channels)``; clipped to [-1, 1] unless the file is floating point.

        Raises:
            EncodeError: the block holds NaN, or the encoder failed.
            OutputError: the disk is full, or the folder is gone.
        """
        assert block.shape[1:] == (self._channels,), "blocks are (n, channels)"
        self._append(self._resampler.push(block))

    def close(self) -> None:
        """Finish the file; further calls do nothing."""
        if self._state == "open":
            self._append(self._resampler.finish())
            with self._explain_write_errors():
                self._sink.close()
            self._state = "closed"

    def commit(self) -> None:
        """Finish the file if it is open, and rename it to its final name, replacing any file."""
        self.close()
        with self._explain_write_errors():
            replace_file(self.temporary, self.path)
        self._state = "committed"

    def discard(self) -> None:
        """Remove the file, unless it was committed."""
        if self._state == "open":
            # Buffered data may not fit on a full disk.
            with suppress(OSError, soundfile.LibsndfileError):
                self._sink.abort()
        if self._state in ("open", "closed"):
            self.temporary.unlink(missing_ok=True)
            self._state = "discarded"

    def _append(self, block: Block) -> None:
        if not len(block):
            return
        if np.isnan(block).any():
            raise EncodeError(f"{self.path} would hold NaN. Try {setting(precision='fp32')}")
        with self._explain_write_errors():
            self._sink.write(np.clip(block, -1, 1) if self._clips else block)

    @contextmanager
    def _explain_write_errors(self) -> Iterator[None]:
        """Turn errors of the file system and libsndfile into one sentence."""
        with explain_write_errors(self.path):
            try:
                yield
            except soundfile.LibsndfileError as error:
                is_of_system = error.code == SYSTEM_ERROR
                reason = "the disk is full or write permission is missing"
                raise OSError(reason if is_of_system else str(error)) from error


def open_writer(
    path: Path | str, sample_rate: int, channels: int, format: OutputFormat
) -> AudioWriter:
    """Create a file.

    Args:
        path: final path; parent folders are created.
        sample_rate: of the blocks, in Hz. mp3, opus and m4a support certain rates only; other audio
            is resampled to the next higher one, with a notice in :attr:`AudioWriter.notices`.
        channels: of the blocks.
        format: ``"auto"`` depth means 24 bits here; see :meth:`OutputFormat.resolve`.

    Raises:
        EncodeError: the format does not support the channels or the sample rate.
        OutputError: the file cannot be written.
        FfmpegMissingError: the format needs ffmpeg, which is missing.
    """
    return AudioWriter(Path(path), sample_rate, channels, format)


def leftovers(path: Path, kind: str = PART) -> list[Path]:
    """Temporary files of ``path``, left by a killed process or in use by a running one.

    Args:
        path: final path.
        kind: :data:`PART`, or :data:`OLDER` for what :func:`aside` named.
    """
    return [file for file, _ in all_leftovers([path], kind)]


def all_leftovers(paths: Iterable[Path], kind: str) -> list[tuple[Path, Path]]:
    """The :func:`leftovers` of several paths, each with its path; reads every folder once."""
    by_folder: dict[Path, list[Path]] = {}
    for path in paths:
        by_folder.setdefault(path.parent, []).append(path)
    return [
        (file, path)
        for folder, inside in by_folder.items()
        for name in (_hidden_names(folder) if folder.is_dir() else [])
        for path in inside
        if is_temporary_of(file := path.with_name(name), path, kind)
    ]


def _hidden_names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.name.startswith(".")]


def is_temporary_of(temporary: PurePath, path: PurePath, kind: str = PART) -> bool:
    """Whether ``temporary`` may be a name for ``path`` of :func:`beside`, or of another kind."""
    begin, end = _temporary_name(path, kind)
    token = f"[0-9a-f]{{{2 * TOKEN}}}"
    rule = f"{re.escape(begin)}{token}{re.escape(end)}"
    return temporary.parent == path.parent and bool(re.fullmatch(rule, temporary.name, re.DOTALL))


def beside(path: Path) -> Path:
    """A new hidden name in the same folder, for a file that is not complete."""
    begin, end = _temporary_name(path, PART)
    return path.with_name(f"{begin}{secrets.token_hex(TOKEN)}{end}")


def aside(path: Path) -> Path:
    """A new hidden name in the same folder, for an older file while it is being replaced."""
    begin, end = _temporary_name(path, OLDER)
    return path.with_name(f"{begin}{secrets.token_hex(TOKEN)}{end}")


def _temporary_name(path: PurePath, kind: str) -> tuple[str, str]:
    """The text before and after the random part; a long name is cut to stay valid.

    Older files must not be mistaken for those of another stem; the names of others are in journals.
    """
    stem = path.stem[:LONGEST_STEM]
    if kind == OLDER and stem != path.stem:
        stem += f"-{crc32(path.stem.encode('utf-8', 'surrogatepass')):08x}"
    return f".{stem}.", f".{kind}{path.suffix}"


def _notices(format: OutputFormat, requested: int, rate: int) -> list[str]:
    notices = [encoder_notice(format)]
    if requested != rate:
        keeper = "flac" if requested <= (RULES["flac"].highest_rate or requested) else "wav"
        written = f"written at {rate} Hz ({setting(format=keeper)} keeps it)"
        notices.append(f"{format.name} does not support {requested} Hz: {written}")
    return [*filter(None, notices)]

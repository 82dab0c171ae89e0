"""Describes an audio file before it is decoded, and the errors for files that are not songs."""

from __future__ import annotations

import errno
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from model_zoo.errors import DecodeError, nearest
from model_zoo.option_names import Verbatim, setting, shell_or_python
from model_zoo.shell import SINGLE_QUOTES, is_in_single_quotes, quoted
from stemcli.audio.allowed_formats import READABLE
from stemcli.audio.other_files import OtherFile


@dataclass(frozen=True)
class AudioInfo:
    """An audio file as its header describes it.

    Attributes:
        path: the file.
        sample_rate: in Hz.
        channels: number of channels.
        frames: samples per channel by the header, for progress only; None if the header has no
            count or an estimate, as in Matroska that was written to a pipe.
        depth: bit depth of a lossless copy: ``"16"`` for integers up to 16 bit and for lossy
            codecs, ``"24"`` for integers of 24 and 32 bit, ``"32f"`` for floating point.
        notices: sentences for the user about how the file is read.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int | None
    depth: str
    notices: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """The length by the header; None if unknown."""
        return None if self.frames is None else self.frames / self.sample_rate


RATES = range(1000, 4_000_000)
"""Plausible sample rates in Hz, from below telephone quality to the byte rate of DSD.

A damaged header may say 1 Hz, which would turn a minute of audio into weeks.
"""

CHANNELS = range(1, 1025)
"""Numbers of channels that libsndfile reads."""

BITS = range(1, 65)
"""Plausible bits per sample."""

MALFORMED = (struct.error, ValueError, ArithmeticError, IndexError)
"""Exceptions raised while parsing a header with nonsensical numbers."""


def require_file(path: Path) -> None:
    """Refuse paths that cannot be a song.

    Pipes are refused because a song is opened more than once, and a pipe may block forever.

    Raises:
        DecodeError: the path does not exist, is a folder, a pipe or an empty file, or may not be
            read.
    """
    try:
        if path.is_dir():
            command = f"Try: stem batch {quoted(path)}"
            call = "Separate its songs one by one with Session.separate_file"
            raise DecodeError(f"{path} is a folder. {shell_or_python(command, call)}")
        if not path.exists():
            raise DecodeError(_missing(path))
        if not path.is_file():
            raise DecodeError(
                f"{path} is a pipe or a device. Save the sound to a file and use that"
                + shell_or_python(", or pipe it into: stem separate -", "")
            )
        with path.open("rb") as file:
            if not file.read(1):
                raise DecodeError(f"{path} is empty (0 bytes). Copy or download it again")
    except OSError as error:
        reason = error.strerror or error
        raise DecodeError(
            f"{path} cannot be opened ({reason}). Check its name and permissions"
        ) from error


def not_sound(path: Path) -> DecodeError:
    """Return the error for a file that neither soundfile nor ffmpeg can read."""
    return DecodeError(f"No sound can be read from {path}. Use a {READABLE} file")


def other_file(path: Path, kind: OtherFile | None = None) -> DecodeError:
    """Return the error for a file that is not audio.

    Args:
        path: the file.
        kind: kind of the file, if known.
    """
    if kind:
        return DecodeError(f"No sound can be read from {path}: it is {kind.is_what}; {kind.advice}")
    return DecodeError(
        f"No sound can be read from {path}: it seems to be a playlist, a text or a picture. Use a "
        f"{READABLE} file"
    )


def silent_film(path: Path) -> DecodeError:
    """Return the error for a film without sound."""
    return DecodeError(f"{path} contains pictures but no sound. Use the file with the sound")


def no_sound(path: Path, loss: str = "") -> DecodeError:
    """Return the error for a file that can be read but has no samples.

    Args:
        path: the file.
        loss: the decoder's sentence about missing samples; ``""`` for none.
    """
    if loss:
        return DecodeError(f"No sound can be read from {path}, {loss}. Download or copy it again")
    return DecodeError(f"{path} contains no sound (0 samples). Export or record it again")


def cut_off(path: Path, flaw: str) -> DecodeError:
    """Return the error for a file that is cut off before the first sample.

    Args:
        path: the file.
        flaw: what is missing.
    """
    return DecodeError(
        f"No sound can be read from {path}, which seems to be cut off ({flaw}). Download or copy "
        "it again"
    )


def counted_silence(path: Path) -> DecodeError:
    """Return the error for a WAV whose silence is counted instead of stored."""
    return DecodeError(
        f"{path} stores silence as a count (a WAV wave list), which no decoder reads. Export it "
        "again as a plain wav file"
    )


def scattered(path: Path, chunks: int) -> DecodeError:
    """Return the error for samples in more chunks than Stem reads.

    Args:
        path: the file.
        chunks: number of chunks with samples.
    """
    return DecodeError(
        f"{path} stores its samples in {chunks:,} chunks, more than Stem reads. Export it again as "
        "one plain wav file"
    )


def many_chunks(path: Path, most: int) -> DecodeError:
    """Return the error for a file with more chunks than Stem looks at.

    Args:
        path: the file.
        most: number of chunks that Stem looks at.
    """
    return DecodeError(
        f"{path} consists of more than {most:,} chunks, more than Stem reads. Export it again as "
        "one plain wav file"
    )


def coded_chunks(path: Path) -> DecodeError:
    """Return the error for compressed audio in several chunks, of which ffmpeg reads only one."""
    return DecodeError(
        f"{path} stores compressed sound in several chunks, which no decoder reads. Export it "
        "again as a plain wav file"
    )


def stalled(path: Path, seconds: float) -> DecodeError:
    """Return the error for a decoder that gave no data for that many seconds."""
    return DecodeError(
        f"{path} cannot be read: no data arrived for {seconds:g} seconds. Check the disk or the "
        "network that it is on, and copy it to this machine"
    )


def impossible_rate(path: Path, sample_rate: float) -> DecodeError:
    """Return the error for a sample rate outside :data:`RATES`."""
    return DecodeError(
        f"{path} is damaged: its header has a sample rate of {sample_rate:.12g} Hz. "
        "Export or download it again"
    )


def require_sense(path: Path, sample_rate: float, channels: int, bits: int = BITS[0]) -> None:
    """Refuse a header with implausible numbers.

    Args:
        path: the file.
        sample_rate: in Hz.
        channels: number of channels.
        bits: bits per sample, if the header has them.

    Raises:
        DecodeError: a number is implausible.
    """
    problem = ""
    if channels not in CHANNELS:
        problem = f"{channels} channels"
    elif bits not in BITS:
        problem = f"samples of {bits} bits"
    if problem:
        raise DecodeError(
            f"{path} is damaged: its header has {problem}. Export or download it again"
        )
    if not RATES[0] <= sample_rate <= RATES[-1]:
        raise impossible_rate(path, sample_rate)


def changing(path: Path, seconds: float, before: int, after: int) -> DecodeError:
    """Return the error for consecutive recordings in one file whose channels differ.

    Args:
        path: the file.
        seconds: where the second recording begins.
        before: channels of the first recording.
        after: channels of the second recording.
    """
    return DecodeError(
        f"{path} contains several recordings in a row, and at {seconds:.2f} s changes from "
        f"{before} to {after} channels. Convert it to a wav file first"
    )


def holds_code(path: Path, codec: str) -> DecodeError:
    """Return the error for samples that are the bytes of another codec."""
    return DecodeError(
        f"{path} contains {codec} labelled as PCM, which would play as noise. Decode it to a wav "
        "file first, for example with mpv or VLC"
    )


def broken(path: Path, seconds: float, total: float | None, reason: str = "") -> DecodeError:
    """Return the error for decoding that stopped before the end of the stream.

    Args:
        path: the file.
        seconds: where decoding stopped.
        total: length by the header; None if unknown.
        reason: message of the decoder.
    """
    of = f" of {total:.2f} s" if total else ""
    why = f" ({reason})" if reason else ""
    usable = int(seconds * 100) / 100
    end = setting(end=Verbatim(f"{usable:.2f}"))
    part = f", or separate this song alone with {end} to use the part before" if usable else ""
    return DecodeError(
        f"{path} is damaged: decoding stops at {seconds:.2f} s{of}{why}. Download it again{part}"
    )


def _missing(path: Path) -> str:
    if path.is_symlink():
        if _is_circle(path):
            return f"{path} is a link that leads back to itself. Use the file itself"
        return f"{path} is a link to {os.readlink(path)}, which does not exist. Check the link"
    address = re.match(r"(\w{2,}:/)(.*)", str(path))  # Path reduced two slashes to one
    if address:
        scheme, rest = address.groups()
        if scheme == "file:/":
            return f"{scheme}//{rest.lstrip('/')} is a URL. Use the path /{rest.lstrip('/')}"
        in_shell = f"{path} is not a complete URL. Write it with two slashes: {scheme}/{rest}"
        in_python = f"{scheme}/{rest} is a URL. Use it as a string, not as a Path"
        return shell_or_python(in_shell, in_python)
    return f"There is no file {path}: {_why_missing(path)}"


def _why_missing(path: Path) -> str:
    if is_in_single_quotes(str(path)) or is_in_single_quotes(path.name):
        return SINGLE_QUOTES
    if os.name != "nt" and set("*?") & {*str(path)}:  # on Windows, stem separate expands it
        return "type a pattern without quotes, so that the shell expands it"
    near = _sibling(path)
    return f"did you mean {near!r}?" if near else "check the name and the folder."


def _is_circle(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _sibling(path: Path) -> str | None:
    """The file in the same folder with the most similar name, ignoring the extension.

    Among files that differ only in the extension, the one with the same extension is preferred.
    """
    entries = path.parent.iterdir() if path.parent.is_dir() else ()
    siblings = [entry for entry in entries if entry.is_file()]
    siblings.sort(key=lambda entry: entry.suffix == path.suffix)
    names = {entry.stem: entry.name for entry in siblings}
    near = nearest(path.stem, names)
    return names[near] if near else None

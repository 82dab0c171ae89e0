"""Describes a sound file before it is decoded, and the errors for paths that hold no song."""

from __future__ import annotations

import errno
import os
import re
import shlex
import struct
from dataclasses import dataclass
from pathlib import Path

from model_zoo.errors import DecodeError, nearest
from stemcli.audio.allowed_formats import READABLE
from stemcli.audio.other_files import OtherFile


@dataclass(frozen=True)
class AudioInfo:
    """A sound file as its header describes it.

    Attributes:
        path: the file.
        sample_rate: in Hz.
        channels: how many.
        frames: samples per channel that the file promises, for progress only; None when it promises
            nothing or guesses, as what was written into a pipe as Matroska does.
        depth: what a lossless copy needs: ``"16"`` for integers up to 16 bit and for lossy codecs,
            ``"24"`` for integers of 24 and 32 bit, ``"32f"`` for floating point.
        notices: what the user should know of how it is read, in sentences.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int | None
    depth: str
    notices: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """The length that the header promises."""
        return None if self.frames is None else self.frames / self.sample_rate


RATES = range(1000, 4_000_000)
"""Sample rates of sound, in Hz: below the telephone's up to a sound card's and the bytes of DSD.

A damaged header may say 1 Hz, which would turn a minute of sound into weeks.
"""

CHANNELS = range(1, 1025)
"""Channels of a sound: what libsndfile reads."""

BITS = range(1, 65)
"""Bits of a sample."""

MALFORMED = (struct.error, ValueError, ArithmeticError, IndexError)
"""Exceptions raised while parsing a header with nonsensical numbers."""


def require_file(path: Path) -> None:
    """Refuse what cannot hold a song.

    A pipe is refused because a song is opened more than once, and might be waited for forever.

    Raises:
        DecodeError: nothing is there, or a folder, a pipe, an empty file or one that may not be
            read.
    """
    try:
        if path.is_dir():
            raise DecodeError(f"{path} is a folder: type stem batch {shlex.quote(str(path))}")
        if not path.exists():
            raise DecodeError(_missing(path))
        if not path.is_file():
            raise DecodeError(f"{path} is a pipe or a device: save the sound in a file and type it")
        with path.open("rb") as file:
            if not file.read(1):
                raise DecodeError(f"{path} is empty (0 bytes): copy or download it again.")
    except OSError as error:
        reason = error.strerror or error
        raise DecodeError(
            f"{path} cannot be opened ({reason}): check its name and rights."
        ) from error


def not_sound(path: Path) -> DecodeError:
    """Neither soundfile nor ffmpeg makes anything of the file."""
    return DecodeError(f"No sound can be read from {path}: give a {READABLE} file.")


def other_file(path: Path, kind: OtherFile | None = None) -> DecodeError:
    """The file is of another kind than those that are read.

    Args:
        path: the file.
        kind: what it is, where that is known.
    """
    if kind:
        return DecodeError(
            f"No sound can be read from {path}: it is {kind.is_what}; {kind.advice}."
        )
    return DecodeError(
        f"No sound can be read from {path}: it seems to be a playlist, a text or a picture. Give a "
        f"{READABLE} file"
    )


def silent_film(path: Path) -> DecodeError:
    """There are pictures and nothing else."""
    return DecodeError(f"{path} holds pictures and no sound: give the file that has the sound.")


def no_sound(path: Path, loss: str = "") -> DecodeError:
    """The file can be read, but it has no samples.

    Args:
        path: the file.
        loss: what the decoder says is missing; ``""`` for nothing.
    """
    if loss:
        return DecodeError(f"No sound can be read from {path}, {loss}; download or copy it again.")
    return DecodeError(f"{path} holds no sound (0 samples): export or record it again.")


def cut_off(path: Path, flaw: str) -> DecodeError:
    """The file ends too early for any sample to be decoded.

    Args:
        path: the file.
        flaw: what is missing.
    """
    return DecodeError(
        f"No sound can be read from {path}, which seems to be cut off ({flaw}): download or copy "
        "it again."
    )


def counted_silence(path: Path) -> DecodeError:
    """A WAV whose silence is not stored, but counted."""
    return DecodeError(
        f"{path} stores silence as a count (a WAV wave list), which no decoder reads: re-export it "
        "as a plain wav file."
    )


def scattered(path: Path, chunks: int) -> DecodeError:
    """The samples lie in more chunks than are read.

    Args:
        path: the file.
        chunks: of samples.
    """
    return DecodeError(
        f"{path} stores its samples in {chunks:,} chunks, more than Stem reads: re-export it as "
        "one plain wav file."
    )


def many_chunks(path: Path, most: int) -> DecodeError:
    """The file has so many chunks that samples may lie behind those that are looked at.

    Args:
        path: the file.
        most: chunks that are looked at.
    """
    return DecodeError(
        f"{path} consists of more than {most:,} chunks, more than Stem reads: re-export it as one "
        "plain wav file."
    )


def coded_chunks(path: Path) -> DecodeError:
    """Frames of a codec in several chunks, of which ffmpeg reads one alone."""
    return DecodeError(
        f"{path} stores coded sound in several chunks, which no decoder reads: re-export it as a "
        "plain wav file."
    )


def stalled(path: Path, seconds: float) -> DecodeError:
    """The decoder gave nothing for that many seconds."""
    return DecodeError(
        f"{path} cannot be read: no sound came for {seconds:g} seconds. Check the disk or the "
        "network that it is on, and copy it to this machine"
    )


def impossible_rate(path: Path, sample_rate: float) -> DecodeError:
    """No sound has so few or so many samples per second."""
    return DecodeError(
        f"{path} is damaged: its header names a sample rate of {sample_rate:.12g} Hz; "
        "export or download it again."
    )


def require_sense(path: Path, sample_rate: float, channels: int, bits: int = BITS[0]) -> None:
    """Refuse a header whose numbers no sound can have.

    Args:
        path: the file.
        sample_rate: in Hz.
        channels: how many.
        bits: of a sample, where the header has to say.

    Raises:
        DecodeError: one of them is impossible.
    """
    wrong = ""
    if channels not in CHANNELS:
        wrong = f"{channels} channels"
    elif bits not in BITS:
        wrong = f"samples of {bits} bits"
    if wrong:
        raise DecodeError(
            f"{path} is damaged: its header names {wrong}; export or download it again."
        )
    if not RATES[0] <= sample_rate <= RATES[-1]:
        raise impossible_rate(path, sample_rate)


def changing(path: Path, seconds: float, before: int, after: int) -> DecodeError:
    """Sounds that follow each other in one file, with channels that do not fit each other.

    Args:
        path: the file.
        seconds: where the second begins.
        before: channels of the first.
        after: channels of the second.
    """
    return DecodeError(
        f"{path} holds several recordings one after the other, and at {seconds:.2f} s changes from "
        f"{before} to {after} channels: convert it into a wav file first."
    )


def holds_code(path: Path, codec: str) -> DecodeError:
    """The samples are the bytes of another codec, which would play as noise."""
    return DecodeError(
        f"{path} contains {codec} labelled as PCM, which would play as noise: decode it to a wav "
        "file first, for example with mpv or VLC."
    )


def broken(path: Path, seconds: float, total: float | None, reason: str = "") -> DecodeError:
    """Decoding stopped before the end of the stream.

    Args:
        path: the file.
        seconds: how far it could be decoded.
        total: the length that the header promises, None when unknown.
        reason: the decoder's own words.
    """
    of = f" of {total:.2f} s" if total else ""
    why = f" ({reason})" if reason else ""
    usable = int(seconds * 100) / 100
    part = (
        f", or type --end {usable:.2f} with this song alone to use what comes before"
        if usable
        else ""
    )
    return DecodeError(
        f"{path} is damaged: decoding stops at {seconds:.2f} s{of}{why}; download it again{part}."
    )


def _missing(path: Path) -> str:
    if path.is_symlink():
        if _is_circle(path):
            return f"{path} is a link that leads back to itself: type the file itself."
        return f"{path} is a link to {os.readlink(path)}, which is not there: check the link."
    address = re.match(r"(\w{2,}:/)(.*)", str(path))  # Path made one slash of two
    if address:
        typed = "/".join(address.groups())
        return f"{typed} is an address, which stem does not read: download it and type the file"
    near = _sibling(path)
    return f"There is no file {path}: " + (
        f"did you mean {near!r}?" if near else "check the name and the folder."
    )


def _is_circle(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _sibling(path: Path) -> str | None:
    """The file in the same folder whose name resembles most, whatever its ending.

    Of files that differ only in the ending, the one with the same ending is meant.
    """
    entries = path.parent.iterdir() if path.parent.is_dir() else ()
    siblings = [entry for entry in entries if entry.is_file()]
    siblings.sort(key=lambda entry: entry.suffix == path.suffix)
    names = {entry.stem: entry.name for entry in siblings}
    near = nearest(path.stem, names)
    return names[near] if near else None

"""Compares the decode of an odd file with what is expected."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from model_zoo.errors import DecodeError
from stemcli.audio.reader import open_audio
from tests.stemcli.audio.containers.oddities import Odd, Part, decode_with_ffmpeg
from tests.stemcli.audio.containers.rows import Row, Wave


class Expected(NamedTuple):
    """The expected samples and their number per channel."""

    wave: Wave
    frames: int


LOSSY = 2e-3
"""Largest difference between two decoders of a lossy file, as a fraction of full scale."""


class Decoded(NamedTuple):
    """The samples of a file, None if it was refused, and the reported problem."""

    wave: Wave | None
    report: str


def decode_song(path: Path) -> Decoded:
    """Read a file to its end, as in a separation."""
    try:
        with open_audio(path) as reader:
            blocks = list(reader)
            return Decoded(np.concatenate(blocks), reader.doubt)
    except DecodeError as error:
        return Decoded(None, str(error))


def expected_of(row: Row, part: Part) -> Expected:
    """The expected audio: the encoded samples, or the reference decoder's."""
    if row.step is not None:
        return Expected(part.wave, len(part.wave))
    wave = decode_with_ffmpeg(row, part.data)
    return Expected(wave, len(part.wave) if row.counts else len(wave))


def find_problem(row: Row, odd: Odd, decoded: Decoded) -> str:
    """The problem with the decode of a file; ``""`` if there is none."""
    if decoded.wave is None:
        return "" if odd.may_be_refused else f"refused: {decoded.report}"
    if decoded.wave.shape[1] != row.channels:
        return f"{decoded.wave.shape[1]} channels"
    parts = [expected_of(row, part) for part in odd.parts]
    frames = sum(part.frames for part in parts)
    if not frames:
        return ""  # a single frame, which the reference decoder does not recognize
    difference = _difference(row, decoded.wave, parts)
    if difference:
        return difference
    return _count_problem(row, odd, frames - len(decoded.wave), decoded.report)


def _count_problem(row: Row, odd: Odd, missing: int, report: str) -> str:
    if odd.must_be_reported:
        return "" if report and (missing <= 0) else f"{-missing:+} samples, reported: {report!r}"
    if 0 <= missing < max(odd.padding, 1):
        may_be_reported = odd.is_cut and row.step is None  # half of the last frame may be decoded
        return f"nothing is missing, reported: {report!r}" if report and not may_be_reported else ""
    if missing < 0 or not odd.is_cut:
        return f"{-missing:+} samples, reported: {report!r}"
    return "" if report else f"{-missing:+} samples, and nothing is reported"


def _difference(row: Row, wave: Wave, parts: list[Expected]) -> str:
    """The position where samples differ; ``""`` if they are equal."""
    tolerance = LOSSY if row.step is None else row.step + 1e-9
    at = 0
    for part in parts:
        expected = part.wave[: len(wave) - at]
        if row.step is None and len(expected) < len(part.wave):
            expected = expected[:-2048]  # the last frame before a cut may be incomplete
        differs = (
            np.abs(wave[at : at + len(expected)] - expected).max(axis=1, initial=0) > tolerance
        )
        if differs.any():
            return f"differs from sample {at + differs.argmax()} on ({differs.sum()} samples)"
        at += part.frames
    return ""

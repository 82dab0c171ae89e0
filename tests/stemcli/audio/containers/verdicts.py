"""What came of an odd file, beside what is right."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from model_zoo.errors import DecodeError
from stemcli.audio.reader import open_audio
from tests.stemcli.audio.containers.oddities import Odd, Part, decode
from tests.stemcli.audio.containers.rows import Row, Wave


class Truth(NamedTuple):
    """What is right: values, and how many samples per channel there are."""

    wave: Wave
    frames: int


LOSSY = 2e-3
"""Largest difference between two decoders of one lossy file, of full scale."""


class Heard(NamedTuple):
    """What came of a file: its sound, None when it was refused, and what was said of it."""

    wave: Wave | None
    told: str


def decoded(path: Path) -> Heard:
    """Read a file to its end as a separation does."""
    try:
        with open_audio(path) as reader:
            blocks = list(reader)
            return Heard(np.concatenate(blocks), reader.doubt)
    except DecodeError as error:
        return Heard(None, str(error))


def truth(row: Row, part: Part) -> Truth:
    """The sound of a file: what was encoded, or what the second decoder makes of it."""
    if row.step is not None:
        return Truth(part.wave, len(part.wave))
    wave = decode(row, part.data)
    return Truth(wave, len(part.wave) if row.counts else len(wave))


def fault(row: Row, odd: Odd, heard: Heard) -> str:
    """What is wrong with what came of a file; ``""`` for nothing."""
    if heard.wave is None:
        return "" if odd.may_be_refused else f"refused: {heard.told}"
    if heard.wave.shape[1] != row.channels:
        return f"{heard.wave.shape[1]} channels"
    parts = [truth(row, part) for part in odd.parts]
    frames = sum(part.frames for part in parts)
    if not frames:
        return ""  # one frame alone, which the second decoder does not take for sound
    difference = _difference(row, heard.wave, parts)
    if difference:
        return difference
    return _count_fault(row, odd, frames - len(heard.wave), heard.told)


def _count_fault(row: Row, odd: Odd, missing: int, told: str) -> str:
    if odd.has_to_be_told:
        return "" if told and (missing <= 0) else f"{-missing:+} samples, and told is {told!r}"
    if 0 <= missing < max(odd.padding, 1):
        may_be_told = odd.is_cut and row.step is None  # half a frame may still be decoded
        return f"nothing is missing, and told is {told!r}" if told and not may_be_told else ""
    if missing < 0 or not odd.is_cut:
        return f"{-missing:+} samples, and told is {told!r}"
    return "" if told else f"{-missing:+} samples, and nothing is told"


def _difference(row: Row, wave: Wave, parts: list[Truth]) -> str:
    """Where the values of samples differ; ``""`` where they are equal."""
    tolerance = LOSSY if row.step is None else row.step + 1e-9
    at = 0
    for part in parts:
        right = part.wave[: len(wave) - at]
        if row.step is None and len(right) < len(part.wave):
            right = right[:-2048]  # the last frame before a cut may be half a frame
        apart = np.abs(wave[at : at + len(right)] - right).max(axis=1, initial=0) > tolerance
        if apart.any():
            return f"differs from sample {at + apart.argmax()} on ({apart.sum()} samples)"
        at += part.frames
    return ""

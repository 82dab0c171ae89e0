"""Two folders of stems, paired by name: the true ones and the estimates."""

from __future__ import annotations

from pathlib import Path

import torch

from model_zoo.errors import DecodeError, UsageError
from trainers.data.files import read_wave
from trainers.metrics.sdr import global_sdr


def score_folder(references: Path, estimates: Path) -> dict[str, float]:
    """Global SDR in dB of every stem that both folders hold, by name without ending.

    Raises:
        UsageError: the folders share no name, or a name is there twice.
        DecodeError: a file cannot be read, or a pair differs in rate, channels or length.
    """
    true, estimated = _by_stem(references), _by_stem(estimates)
    shared = sorted(true.keys() & estimated.keys())
    if not shared:
        raise UsageError(
            f"{references} has {', '.join(true) or 'no files'} and {estimates} has "
            f"{', '.join(estimated) or 'no files'}: name two folders that share a stem."
        )
    return {stem: score_pair(estimated[stem], true[stem]) for stem in shared}


def score_pair(estimate: Path, reference: Path) -> float:
    """Global SDR in dB of one file.

    Raises:
        DecodeError: a file cannot be read, or the two differ in rate, channels or length.
    """
    waves = [read_wave(path) for path in (estimate, reference)]
    shapes = [f"{wave.shape[1]} samples, {wave.shape[0]} channels" for wave, _ in waves]
    rates = [rate for _, rate in waves]
    if shapes[0] != shapes[1] or rates[0] != rates[1]:
        raise DecodeError(
            f"{estimate} ({shapes[0]}, {rates[0]} Hz) and {reference} ({shapes[1]}, {rates[1]} Hz) "
            "are not of one size: compare stems of the same song."
        )
    pair = [torch.from_numpy(wave.copy()) for wave, _ in waves]
    return float(global_sdr(pair[0], pair[1]))


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            if path.stem in found:
                raise UsageError(f"{folder} has {path.stem} twice: leave one of them there.")
            found[path.stem] = path
    return found

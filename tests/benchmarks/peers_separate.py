"""Separates an array with one program: ``stem``, ``demucs`` or ``unblend``.

    python peers_separate.py PROGRAM MIXTURE.npy STEMS.npy WEIGHTS PRECISION

Run by tests/benchmarks/separate.py, each time in a new process, for unblend with the Python of
another environment; so it imports nothing of Stem at the top. Prints the seconds of the separation
alone, after the network was loaded, as the last line.
"""

from __future__ import annotations

import importlib.machinery
import sys
import time
import types
from collections.abc import Callable

import numpy as np
import torch

RATE = 44_100
OVERLAP = 0.25
STEMS = ("drums", "bass", "other", "vocals")

Separate = Callable[[np.ndarray], np.ndarray]
"""``(time, channel)`` to ``(stem, time, channel)``."""


def stem(weights: str, precision: str) -> Separate:
    """The installed ``htdemucs``, with the settings of its card."""
    from stemcli.engine.options import Options
    from stemcli.engine.session import Session

    session = Session(
        Options.from_dict({"model": "htdemucs", "precision": precision, "device": "cpu"})
    )
    assert session.stems == STEMS, "the network is loaded"

    def separate(mixture: np.ndarray) -> np.ndarray:
        stems = session.separate_array(mixture, RATE)
        return np.stack([stems[name] for name in STEMS])

    return separate


def demucs(weights: str, precision: str) -> Separate:
    """As ``demucs.separate`` does it: the song leveled, ``apply_model`` without random shifts."""
    from demucs.apply import apply_model
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import load_file

    network = HTDemucs(
        sources=[*STEMS],
        channels=48,
        bottom_channels=512,
        t_layers=5,
        t_dropout=0.02,
        segment=7.8,
        dconv_mode=3,
        samplerate=RATE,
    )
    network.load_state_dict({name: each.float() for name, each in load_file(weights).items()})
    network.eval()

    def separate(mixture: np.ndarray) -> np.ndarray:
        wave = torch.from_numpy(mixture.T.copy())
        mean, deviation = wave.mean(0).mean(), wave.mean(0).std() + 1e-8
        leveled = ((wave - mean) / deviation)[None]
        stems = apply_model(network, leveled, shifts=0, overlap=OVERLAP)[0] * deviation + mean
        return stems.mT.numpy()

    return separate


def unblend(weights: str, precision: str) -> Separate:
    """Its registry's ``htdemucs``: the same file, which it finds in ``UNBLEND_CACHE_DIR``.

    torchaudio and torchcodec, which it reads files with, are replaced by empty modules: their
    wheels do not import beside every build of torch, and no file is read here.
    """
    for name in ("torchaudio", "torchaudio.functional", "torchcodec"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        sys.modules[name] = module
    from unblend import Separator

    separator = Separator("htdemucs", device="cpu", dtype=None)

    def separate(mixture: np.ndarray) -> np.ndarray:
        wave = torch.from_numpy(mixture.T.copy())
        found = separator.separate((wave, RATE), shifts=0, split_overlap=OVERLAP)
        return np.stack([found.sources[name].mT.numpy() for name in STEMS])

    return separate


def main() -> None:
    """Separate once and print the seconds."""
    program, mixture, stems, weights, precision = sys.argv[1:]
    separate = {"stem": stem, "demucs": demucs, "unblend": unblend}[program](weights, precision)
    wave = np.load(mixture)
    started = time.perf_counter()
    with torch.inference_mode():
        estimates = separate(wave)
    print(time.perf_counter() - started)
    np.save(stems, estimates.astype(np.float32))


if __name__ == "__main__":
    main()

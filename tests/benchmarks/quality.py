"""Separation quality of a bundled model on real recordings.

    STEM_TEST_AUDIO=FOLDER python -m tests.benchmarks.quality [--model NAME]

FOLDER holds ``multitrack/`` (mixture, vocals, accompaniment) and ``mixtures/`` with
``outfoxing_instrumental.mp3``, a piece without voice. Prints the global SDR of both stems, of the
mixture itself as a reference, and the level of the vocals stem below the instrumental piece.
"""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

import numpy as np
import torch

from model_zoo.catalogue.cards import DEFAULT_MODEL
from stemcli.engine.options import Options
from stemcli.engine.overlap_add import Block
from stemcli.engine.session import Session
from trainers.data.recording import read_wave
from trainers.metrics.sdr import global_sdr

NAMES = {"vocals": "vocals", "instrumental": "accompaniment"}
"""The model's name of each stem, and the name in the folder."""


def main() -> None:
    """Separate both recordings and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    session = Session(Options(model=(parser.parse_args().model,)))
    audio = Path(os.environ["STEM_TEST_AUDIO"])
    mixture, rate = read_samples(audio / "multitrack" / "mixture.flac")
    stems = session.separate_array(mixture, rate)
    for stem, name in NAMES.items():
        reference, _ = read_samples(audio / "multitrack" / f"{name}.flac")
        print(f"{stem}: {sdr(stems[stem], reference):.2f} dB SDR", end=", ")
        print(f"the mixture itself {sdr(mixture, reference):.2f} dB")
    piece, rate = read_samples(audio / "mixtures" / "outfoxing_instrumental.mp3")
    voice = session.separate_array(piece, rate)["vocals"]
    print(f"outfoxing_instrumental: vocals {level(piece) - level(voice):.1f} dB below the mixture")


def read_samples(path: Path) -> tuple[Block, int]:
    """Samples ``(frames, channels)`` and sample rate of a file."""
    wave, rate = read_wave(path)
    return wave.T.copy(), rate


def sdr(estimate: Block, reference: Block) -> float:
    """Global SDR in dB."""
    return float(global_sdr(*(torch.from_numpy(wave.T.copy()) for wave in (estimate, reference))))


def level(wave: Block) -> float:
    """Energy in dB."""
    return 10 * math.log10(float(np.square(wave, dtype=np.float64).sum()) + 1e-20)


if __name__ == "__main__":
    main()

"""Writes dac_mel.json, the mel loss of descript-audio-codec with the settings of its 44 kHz model.

Run in a separate environment, because the package needs an old protobuf::

    pip install descript-audio-codec==1.0.0 && python tests/golden/losses/make_dac_mel.py
"""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from audiotools import AudioSignal
from dac.nn.loss import MelSpectrogramLoss
from formula import waves

SETTINGS = {
    "n_mels": [5, 10, 20, 40, 80, 160, 320],
    "window_lengths": [32, 64, 128, 256, 512, 1024, 2048],
    "mel_fmin": [0.0] * 7,
    "mel_fmax": [None] * 7,
    "pow": 1.0,
    "clamp_eps": 1e-5,
    "mag_weight": 0.0,
}


def loss(rate: int, silent: bool) -> float:
    """The loss of the synthetic waves, or of a silent estimate."""
    estimate, reference = waves(rate)
    estimate_ = np.zeros_like(estimate) if silent else estimate
    signals = [AudioSignal(wave[None], rate) for wave in (estimate_, reference)]
    return MelSpectrogramLoss(**SETTINGS)(*signals).item()


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # librosa warns of filters without a bin at the lower rate
    packages = ("descript-audio-codec", "descript-audiotools", "librosa", "torch")
    content = {
        "made by": {name: version(name) for name in packages},
        "settings": SETTINGS,
        "cases": [
            {"rate": rate, "silent": silent, "loss": loss(rate, silent)}
            for rate in (44_100, 16_000)
            for silent in (False, True)
        ],
    }
    text = json.dumps(content, indent=2) + "\n"
    Path(__file__).with_name("dac_mel.json").write_text(text, "utf-8")

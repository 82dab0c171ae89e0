"""Draws ``spectrograms.png``: a song, and the vocals and accompaniment that Stem separates from it.

The song is the excerpt with a real voice in ``docs/demo/real``, the model is the default one.

    pip install '.[eval]'
    python docs/pictures/make_spectrograms.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import soundfile
from numpy.typing import NDArray

import stemcli

HERE = Path(__file__).parent
SONG = HERE.parent / "demo/real/song.flac"
PICTURE = HERE / "spectrograms.png"

WINDOW = 4096  # samples, periodic Hann
HOP = 1024  # samples
LOWEST, HIGHEST, ROWS = 60.0, 16_000.0, 220  # Hz, Hz, pixels on the frequency axis
RANGE = 60.0  # dB from black to the brightest colour


def levels(path: Path) -> tuple[NDArray[np.float64], float]:
    """Level in dB over logarithmic frequency and time, ``(ROWS, frames)``, and the length in s."""
    wave, rate = soundfile.read(path, always_2d=True)
    window = np.hanning(WINDOW + 1)[:-1]
    padded = np.pad(wave.mean(axis=1), WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    rows = np.geomspace(LOWEST, HIGHEST, ROWS) / rate * WINDOW
    below = np.floor(rows).astype(int)
    share = rows - below
    shown = power[:, below] * (1 - share) + power[:, below + 1] * share
    return 10 * np.log10(shown.T + 1e-12), len(wave) / rate


def draw(panels: dict[str, Path]) -> None:
    """Save one panel per file, all in the same colours."""
    spectra = {title: levels(path) for title, path in panels.items()}
    top = max(np.percentile(level, 99.9) for level, _ in spectra.values())
    figure, axes = plt.subplots(1, len(panels), figsize=(9, 2.7), sharey=True, layout="constrained")
    for axis, (title, (level, seconds)) in zip(axes, spectra.items(), strict=True):
        axis.pcolormesh(
            np.linspace(0, seconds, level.shape[1]),
            np.geomspace(LOWEST, HIGHEST, ROWS),
            level,
            cmap="inferno",
            vmin=top - RANGE,
            vmax=top,
            shading="nearest",
        )
        axis.set_yscale("log")
        axis.set_yticks([100, 1000, 10_000], ["100 Hz", "1 kHz", "10 kHz"])
        axis.minorticks_off()
        axis.set_title(title)
        axis.set_xlabel("time in s")
    figure.savefig(PICTURE, dpi=100)


def main() -> None:
    """Separate the song and draw it with its stems."""
    with tempfile.TemporaryDirectory() as folder:
        stems = stemcli.separate(SONG, output=folder).outputs
        draw({"song": SONG, "vocals": stems["vocals"], "accompaniment": stems["instrumental"]})
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

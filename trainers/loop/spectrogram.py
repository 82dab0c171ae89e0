"""Pictures of sound: what is loud at which pitch, over time.

The frequency axis is logarithmic, as pitch is heard, and low is below. A row shows the energy that
falls into it, so that a tone is as bright in one octave as in another. Brightness is the level in
dB, over :data:`RANGE_DB` below the loudest point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from model_zoo.ops.spectra import stft
from trainers.loop.colours import coloured

LOWEST_HZ = 30.0
RANGE_DB = 80.0
FAINTEST_DB = -120.0
"""What is quieter than this is dark, even if nothing is louder."""

ROWS, COLUMNS = 256, 512
WINDOW_SECONDS = 0.09
TICKS_HZ = (100, 1000, 10_000)
GAP = 4
"""Pixels between two panels."""


def frequencies(sample_rate: int) -> Float[np.ndarray, " row"]:
    """Frequency of every row in Hz, from the lowest to half of ``sample_rate``."""
    return np.geomspace(LOWEST_HZ, sample_rate / 2, ROWS)


def levels(
    wave: Float[np.ndarray, "channel time"], sample_rate: int
) -> Float[np.ndarray, "row column"]:
    """Energy in dB, the lowest frequency in the last row; channels are averaged.

    Args:
        wave: finite samples.
        sample_rate: in Hz.
    """
    power = _power(torch.from_numpy(wave), sample_rate)
    rows = _row_weights(sample_rate, 2 * (len(power) - 1)) @ power.double().numpy()
    picked = np.linspace(0, rows.shape[1] - 1, COLUMNS).round().astype(int)
    return 10 * np.log10(rows[::-1, picked] + 1e-20)


def spectrogram_picture(
    waves: Mapping[str, Float[np.ndarray, "channel time"]], sample_rate: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Spectrograms of several waves in one picture, two in a row, each with its name.

    All have the same scale, whose top is the loudest point of all.
    """
    found = {name: levels(wave, sample_rate) for name, wave in waves.items()}
    top = max(FAINTEST_DB, *(level.max() for level in found.values()))
    panels = [
        _labelled(coloured((level - top) / RANGE_DB + 1), name, sample_rate)
        for name, level in found.items()
    ]
    if len(panels) % 2 and len(panels) > 1:
        panels.append(np.zeros_like(panels[0]))
    rows = [_joined(panels[i : i + 2], axis=1) for i in range(0, len(panels), 2)]
    return _joined(rows, axis=0)


def _power(wave: Tensor, sample_rate: int) -> Float[Tensor, "freq frame"]:
    """Squared magnitudes of at most ``COLUMNS + 1`` frames; a full-scale sine gives 1/4."""
    n_fft = 2 ** max(4, round(math.log2(WINDOW_SECONDS * sample_rate)))
    padded = torch.nn.functional.pad(wave, (0, max(0, n_fft - wave.shape[-1])))
    window = torch.hann_window(n_fft)
    spectrum = stft(padded, window, math.ceil(padded.shape[-1] / COLUMNS))
    return (spectrum.abs() / window.sum()).square().mean(0)


def _row_weights(sample_rate: int, n_fft: int) -> Float[np.ndarray, "row freq"]:
    """How much every bin adds to every row: triangles around the frequencies of the rows.

    A triangle reaches to the neighbouring rows, and at least to the neighbouring bins: where rows
    are closer together than bins, they are interpolated.
    """
    centres = frequencies(sample_rate)[:, None]
    bin_width = sample_rate / n_fft
    bins = np.arange(n_fft // 2 + 1) * bin_width
    ratio = centres[1, 0] / centres[0, 0]
    below = np.maximum(centres - centres / ratio, bin_width)
    above = np.maximum(centres * ratio - centres, bin_width)
    reach = np.where(bins < centres, below, above)
    return (1 - np.abs(bins - centres) / reach).clip(0)


def _labelled(
    panel: UInt8[np.ndarray, "row column 3"], name: str, sample_rate: int
) -> UInt8[np.ndarray, "row column 3"]:
    """Write the name into the upper right corner and frequencies along the left side."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(panel)
    draw = ImageDraw.Draw(image)

    def write(place: tuple[int, int], text: str, anchor: str, size: int) -> None:
        draw.text(
            place,
            text,
            "white",
            anchor=anchor,
            font_size=size,
            stroke_width=2,
            stroke_fill="black",
        )

    write((COLUMNS - 6, 4), name, "ra", 24)
    for hz in TICKS_HZ:
        if hz < sample_rate / 2:
            row = int(np.abs(frequencies(sample_rate)[::-1] - hz).argmin())
            draw.line([(0, row), (5, row)], fill="white")
            write((8, row), f"{hz:,} Hz", "lm", 16)
    return np.asarray(image)


def _joined(
    panels: list[UInt8[np.ndarray, "row column 3"]], axis: int
) -> UInt8[np.ndarray, "height width 3"]:
    shape = list(panels[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, 255, np.uint8)
    parts = [part for panel in panels for part in (panel, gap)]
    return np.concatenate(parts[:-1], axis)

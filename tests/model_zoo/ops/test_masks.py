"""Masks, with values worked by hand."""

from __future__ import annotations

import torch

from model_zoo.ops import spectra

SPECTRUM = torch.tensor([[[1 + 2j], [3 - 1j]]])
MASK = torch.tensor([[[[0.5, 2.0]], [[-1.0, 1.0]]]])


def test_elementwise_masks_scale_both_parts_separately() -> None:
    assert spectra.elementwise(SPECTRUM, MASK).flatten().tolist() == [0.5 + 4j, -3 - 1j]


def test_complex_masks_rotate_the_phase() -> None:
    # (1+2i)(0.5+2i) = -3.5+3i and (3-i)(-1+i) = -2+4i
    assert spectra.complex_product(SPECTRUM, MASK).flatten().tolist() == [-3.5 + 3j, -2 + 4j]


def test_gain_keeps_the_phase() -> None:
    gains = torch.tensor([[[[0.5]], [[2.0]]]])
    assert spectra.gain(SPECTRUM, gains).flatten().tolist() == [0.5 + 1j, 6 - 2j]

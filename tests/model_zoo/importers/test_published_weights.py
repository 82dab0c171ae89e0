"""The published htdemucs is converted as it is on disk.

``STEM_TEST_WEIGHTS`` names a folder with ``htdemucs/htdemucs.safetensors``, the network 955717e8 in
half precision. Reference: its own tensors, and its size by demucs 4.1.0.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from model_zoo import weights
from model_zoo.importers import convert
from tests.model_zoo.importers.published import FOUR


@pytest.mark.weights
@pytest.mark.slow
def test_htdemucs(zoo: Path) -> None:
    path = Path(os.environ["STEM_TEST_WEIGHTS"]) / "htdemucs" / "htdemucs.safetensors"
    card = convert(path, name="mine")
    assert (card.architecture, card.stems, card.parameters) == ("htdemucs", FOUR, 41_984_456)
    assert (card.grid, card.level, card.overlap) == ("htdemucs", "standard", 0.25)
    written = weights.read(zoo / "mine.safetensors")
    assert written.config["segment"] == 343_980
    original = weights.read_safetensors(path)[0]
    assert written.tensors.keys() == original.keys()
    assert all(torch.equal(written.tensors[name], value) for name, value in original.items())

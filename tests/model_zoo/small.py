"""A network of a few thousand weights, for tests that need any network."""

from __future__ import annotations

from model_zoo.architectures.melrnn import MelRNN
from tests.model_zoo.blocks.weights import fill


def small_network() -> MelRNN:
    return fill(MelRNN(8, 1, 2, 128, 32, 16_000, num_bands=6, stems=("vocals",), segment=8192))


SMALL_CONFIG = {
    "hidden_channels": 8,
    "num_layers": 1,
    "num_groups": 2,
    "window_size": 128,
    "hop_size": 32,
    "sample_rate": 16_000,
    "num_bands": 6,
    "segment": 8192,
}

"""The networks of ``002_e99d73cb434ccfd9.txt``. Reference: its own examples, unchanged.

On the meta device they run in seconds and check only shapes; with ``-m slow`` they run on real
values, in half a minute and 8 GB.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model_zoo.architectures.spectrogram_nets import (
    SpectrogramNetLSTM,
    SpectrogramNetSimple,
    SpectrogramNetVAE,
)


def simple() -> tuple[Tensor, Tensor, Tensor]:
    # initialize network
    spec_net = SpectrogramNetSimple(
        num_fft_bins=1024,
        num_frames=173,
        num_channels=1,
        hidden_channels=16,
        normalize_input=True,
        normalize_output=True,
    )

    # generate pretend batch of spectrogram data
    mix_spec = torch.rand((8, 1, 1024, 173))

    # estimate source mask
    source_mask = spec_net(mix_spec)

    # isolate source from mixture
    source_estimate = source_mask * mix_spec
    return mix_spec, source_mask, source_estimate


def lstm() -> tuple[Tensor, Tensor, Tensor]:
    # initialize network
    spec_net_lstm = SpectrogramNetLSTM(
        num_fft_bins=1024,
        num_frames=173,
        num_channels=1,
        hidden_channels=16,
        recurrent_depth=2,
        hidden_size=2048,
        input_axis=1,
    )

    # pretend batch of spectrogram data
    mix_spec = torch.rand((8, 1, 1024, 173))

    # estimate source mask
    source_mask = spec_net_lstm(mix_spec)

    # isolate source from mixture
    source_estimate = source_mask * mix_spec
    return mix_spec, source_mask, source_estimate


def vae() -> tuple[Tensor, Tensor, Tensor]:
    # initialize network
    spec_net_vae = SpectrogramNetVAE(
        num_fft_bins=1024,
        num_frames=173,
        num_channels=1,
        hidden_channels=16,
        recurrent_depth=2,
        hidden_size=2048,
        input_axis=1,
    )

    # pretend batch of spectrogram data
    mix_spec = torch.rand((8, 1, 1024, 173))

    # estimate source mask
    source_mask = spec_net_vae(mix_spec)

    # isolate source from mixture
    source_estimate = source_mask * mix_spec
    return mix_spec, source_mask, source_estimate


every_example = pytest.mark.parametrize("example", [simple, lstm, vae])


@every_example
def test_shapes(example: Callable[[], tuple[Tensor, Tensor, Tensor]]) -> None:
    with torch.device("meta"):
        mixture, mask, estimate = example()
    assert mask.shape == estimate.shape == mixture.shape
    assert mask.dtype == torch.float32


@pytest.mark.slow
@every_example
def test_numbers(example: Callable[[], tuple[Tensor, Tensor, Tensor]]) -> None:
    torch.manual_seed(0)
    mixture, mask, estimate = example()
    assert mask.shape == mixture.shape
    assert 0 <= mask.min() < mask.max() <= 1
    assert (estimate <= mixture).all()


def test_arguments_are_accepted_by_position() -> None:
    """In the order of the documentation, with the device last."""
    order = (48, 40, 2, 4, "tanh", 0.1, 0.2, True, True, "cpu")
    for kind in (SpectrogramNetSimple, SpectrogramNetLSTM, SpectrogramNetVAE):
        network = kind(*order, num_levels=3)
        assert network(torch.rand(2, 2, 48, 40)).shape == (2, 2, 48, 40)

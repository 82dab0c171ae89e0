"""The picture that spectral discriminators look at."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.axes import Wave
from model_zoo.ops.stft import stft


class Spectrum(nn.Module):
    """Real and imaginary parts of a short-time spectrum, as channels of a picture.

    Args:
        window: length of the Hann window, in samples.
        hop: in samples.
    """

    window: Tensor

    def __init__(self, window: int, hop: int) -> None:
        super().__init__()
        self.hop = hop
        self.register_buffer("window", torch.hann_window(window), persistent=False)

    def forward(self, wave: Wave) -> Float[Tensor, "batch part frame freq"]:
        """``part`` holds the real parts of all channels, then the imaginary ones."""
        spectrum = stft(wave, self.window, self.hop)
        return torch.cat([spectrum.real, spectrum.imag], dim=1).transpose(2, 3)

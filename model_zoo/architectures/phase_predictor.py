"""A phase for magnitudes: the frame transformer with angles in the place of masks.

The original (https://github.com/carperbr/frame-transformer) compares a number between 0.5 and 1
with an angle between -1 and 1; here the network's range is that of the angle.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from model_zoo.architectures.frame_spectral import SMALL, FrameSeparator, SoundConfig
from model_zoo.architectures.frame_transformer import FrameTransformer
from model_zoo.architectures.spectral import Spectra, Spectrum
from model_zoo.separator import Documented, Sizes


class PhasePredictor(FrameTransformer):
    """Angles, divided by pi, from magnitudes between -1 and 1.

    Takes the arguments of :class:`~model_zoo.architectures.frame_transformer.FrameTransformer`.
    """

    def forward(
        self, x: Float[Tensor, "batch channel freq frame"]
    ) -> Float[Tensor, "batch channel freq frame"]:
        """One number between -1 and 1 per bin."""
        return super().forward(x).tanh()


class PhasePredictorSeparator(FrameSeparator):
    """The same magnitudes with another phase.

    The network sees magnitudes only, so what it hears may have any phase. The highest bin, which it
    does not see, keeps its own, and so does the lowest: both are real numbers, which are lost where
    they are turned. Takes the arguments of
    :class:`~model_zoo.architectures.frame_spectral.SoundConfig`.
    """

    Config = SoundConfig
    purpose = "a phase for stems whose magnitudes are known: the frame transformer for angles"
    role = "phase"
    needs_float32 = True
    sizes = Sizes(
        small=SMALL,
        several={"in_channels": 1},
        documented=(Documented(357_493_618),),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.network = PhasePredictor(**self.arguments)

    def answer(
        self, spectrum: Spectrum, numbers: Float[Tensor, "batch channel freq_seen frame"]
    ) -> Spectra:
        """The spectrum's magnitudes with the predicted angles, but for the lowest bin."""
        lowest, seen, highest = spectrum.tensor_split((1, -1), dim=-2)
        turned = torch.polar(seen.abs(), math.pi * numbers[..., 1:, :].float())
        return torch.cat([lowest, turned, highest], dim=-2).unsqueeze(1)

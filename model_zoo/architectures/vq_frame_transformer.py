"""VQFrameTransformer: a song as a sequence of codes, one per frame, and back again.

After the vector quantizer of https://github.com/carperbr/frame-transformer: the encoder half of the
frame transformer, a codebook, and a decoder that sees nothing but codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.architectures.frame_transformer import (
    SMALL,
    FrameDescent,
    MagnitudeFrontend,
    SoundConfig,
    mix,
)
from model_zoo.blocks.auxiliary import HasAuxiliaryLoss
from model_zoo.blocks.frame_attention import FrameTransformerEncoder, FrameUpsampler
from model_zoo.blocks.quantizer import FrameQuantizer
from model_zoo.config import broken
from model_zoo.ops.spectra import with_nyquist
from model_zoo.separator import Spectra, SpectralSeparator, Spectrum


@dataclass(frozen=True)
class VQFrameTransformerConfig(SoundConfig):
    """Arguments of :class:`VQFrameTransformerSeparator`, after those of all frame transformers.

    Attributes:
        num_embeddings: number of codes.
        beta: weight of the commitment loss, which keeps frames near their codes.
        patience: optimizer steps after which an unused code is moved.
    """

    multipliers: tuple[int, ...] = (1, 2, 4, 6, 8)
    num_heads: tuple[int, ...] = (4,)
    num_embeddings: int = 2048
    beta: float = 0.25
    patience: int = 100

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        return super().mistakes() + broken({"beta must be above 0": self.beta <= 0})


class VQFrameTransformer(HasAuxiliaryLoss, FrameDescent):
    """Autoencoder whose bottleneck is one code per frame.

    Takes the arguments of :class:`~model_zoo.architectures.frame_transformer.FrameDescent` and:

    Args:
        num_embeddings: number of codes.
        beta: weight of the commitment loss.
        patience: optimizer steps after which an unused code is moved.

    Attributes:
        quantiser: the codebook, with statistics of its use (spelled as in checkpoints).
        losses: ``codebook`` and ``commitment`` of the last training forward pass: the distance
            between frames and their codes, with gradients for the codes or for the frames.
    """

    def __init__(
        self,
        in_channels: int = 2,
        channels: int = 4,
        n_fft: int = 2048,
        expansion: int = 4,
        multipliers: Sequence[int] = (1, 2, 4, 6, 8),
        num_heads: Sequence[int] = (4,),
        dropout: float = 0.1,
        num_embeddings: int = 2048,
        beta: float = 0.25,
        patience: int = 100,
    ) -> None:
        super().__init__(in_channels, channels, n_fft, expansion, multipliers, num_heads, dropout)
        deepest, ascent = self.levels[-1], [*pairwise(self.levels)][::-1]
        self.quantiser = FrameQuantizer(
            deepest.channels, deepest.features, num_embeddings, beta, patience
        )
        self.upsamplers = nn.ModuleList(
            FrameUpsampler(inner.channels, outer.channels, outer.features, dropout)
            for outer, inner in ascent
        )
        self.upper_transformers = nn.ModuleList(
            FrameTransformerEncoder(*outer, dropout, expansion) for outer, _ in ascent
        )
        self.out = mix(self.levels[0], in_channels)

    def forward(
        self, x: Float[Tensor, "batch channel freq frame"]
    ) -> Float[Tensor, "batch channel freq frame"]:
        """One value per bin from the codes; not bounded."""
        x, losses, _ = self.quantiser(self.descend(x)[-1])
        if self.training:
            self.losses = losses
        return self.decode(x)

    def decode(
        self, codes: Float[Tensor, "batch channel_deep freq_deep frame"]
    ) -> Float[Tensor, "batch channel freq frame"]:
        """Decode the codes of every frame."""
        x = codes
        for upsampler, transformer in zip(self.upsamplers, self.upper_transformers, strict=True):
            x = transformer(upsampler(x))
        return self.out(x)


class CodeFrontend(MagnitudeFrontend):
    """Magnitudes for a core that returns magnitudes again."""

    def apply_output(
        self, spectrum: Spectrum, output: Float[Tensor, "batch channel freq_in frame"]
    ) -> Spectra:
        """Decoded magnitudes with the mixture's phase, and 0 at Nyquist.

        The square of the output is a magnitude's share of full scale: never negative, precise for
        quiet bins, and near silence at the start of training. (A sigmoid would start at half of
        full scale, overshoot to silence and stay there for long.)
        """
        # In float32 from here on: squares of small values underflow in half precision.
        magnitudes = with_nyquist(output.float().square()) * self.full_scale
        return torch.polar(magnitudes, spectrum.angle()).unsqueeze(1)


class VQFrameTransformerSeparator(SpectralSeparator):
    """The mixture's magnitudes, encoded as one code per frame and decoded again.

    The phase is the mixture's. Takes the arguments of :class:`VQFrameTransformerConfig`.
    """

    Config = VQFrameTransformerConfig
    config: VQFrameTransformerConfig
    purpose = "a song as one code per frame, for models that work on codes"
    documented_parameters = 275_487_172
    small_options: ClassVar[Mapping[str, Any]] = {**SMALL, "num_embeddings": 16}
    role = "codes"
    needs_float32 = True
    level = "peak"
    auxiliary_loss_names = ("codebook", "commitment")
    weight_independent_options = (
        *SpectralSeparator.weight_independent_options,
        *("dropout", "beta", "patience"),
    )
    network: VQFrameTransformer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.channels = config.in_channels
        self.fourier = CodeFrontend(config.window_size, config.hop_size)
        self.network = VQFrameTransformer(
            *config.network_arguments,
            num_embeddings=config.num_embeddings,
            beta=config.beta,
            patience=config.patience,
        )

    @property
    def keeps_shape(self) -> bool:
        """Always true: the output is one value for each magnitude."""
        return True

    def after_optimizer_step(self) -> None:
        """Update the statistics of the codebook for the step that ended."""
        self.network.quantiser.settle()

    def diagnostics(self) -> dict[str, float]:
        """Use of the codebook: see :class:`~model_zoo.blocks.quantizer.Usage`."""
        codes, perplexity = self.network.quantiser.usage()
        return {"codes": codes, "perplexity": perplexity}

    def blocks(self) -> Iterator[nn.Module]:
        """Parts of every level, and the embedding of the codebook.

        The quantizer around the embedding counts how codes are used, and must not count twice for
        one batch when blocks are recomputed.
        """
        quantizer = self.network.quantiser
        for part in super().blocks():
            yield quantizer.embedding if part is quantizer else part

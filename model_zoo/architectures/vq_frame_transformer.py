"""A song as a sequence of codes, one per frame, and back again.

After the vector quantizer of https://github.com/carperbr/frame-transformer: the way down of the
frame transformer, a code book, and a way up that sees nothing but codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.architectures.frame_transformer import (
    SMALL,
    FrameDescent,
    FrameSeparator,
    SoundConfig,
    mix,
)
from model_zoo.blocks.auxiliary import HasAuxiliaryLoss
from model_zoo.blocks.frame_attention import FrameTransformerEncoder, FrameUpsampler
from model_zoo.blocks.quantizer import FrameQuantizer
from model_zoo.config import broken
from model_zoo.ops.spectra import with_nyquist
from model_zoo.separator import Documented, Sizes, Spectra, Spectrum, parts_of


@dataclass(frozen=True)
class VQFrameTransformerConfig(SoundConfig):
    """Arguments of :class:`VQFrameTransformerSeparator`, after those of all frame transformers.

    Attributes:
        num_embeddings: codes of the book.
        beta: weight of the loss that keeps frames near their codes.
        patience: steps after which a code that is not used gets another place.
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
    """Down to one code per frame, and up again from the codes alone.

    Takes the arguments of :class:`~model_zoo.architectures.frame_transformer.FrameDescent` and:

    Args:
        num_embeddings: number of codes.
        beta: weight of the commitment.
        patience: steps that a code may be idle.

    Attributes:
        quantizer: the code book; it knows how it is used.
        losses: ``codebook`` and ``commitment`` of the last forward pass in training: distances
            between frames and their codes, as either of them learns from it.
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
        self.quantizer = FrameQuantizer(
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
        """One number per bin, out of codes; linear."""
        x, losses, _ = self.quantizer(self.descend(x)[-1])
        if self.training:
            self.losses = losses
        return self.decode(x)

    def decode(
        self, codes: Float[Tensor, "batch channel_deep freq_deep frame"]
    ) -> Float[Tensor, "batch channel freq frame"]:
        """The way up, from what the code book gives."""
        x = codes
        for upsampler, transformer in zip(self.upsamplers, self.upper_transformers, strict=True):
            x = transformer(upsampler(x))
        return self.out(x)


class VQFrameTransformerSeparator(FrameSeparator):
    """The same sound, as far as one code per frame can say it.

    The phase is the mixture's. Takes the arguments of :class:`VQFrameTransformerConfig`.
    """

    Config = VQFrameTransformerConfig
    purpose = "a song as codes, one of a code book per frame, for models that work on codes"
    role = "codes"
    weight_independent_options = (*FrameSeparator.weight_independent_options, "beta", "patience")
    needs_float32 = True
    auxiliary_loss_names = ("codebook", "commitment")
    sizes = Sizes(
        small={**SMALL, "num_embeddings": 16},
        several={"in_channels": 1},
        documented=(Documented(275_487_172),),
    )
    network: VQFrameTransformer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.network = VQFrameTransformer(
            **self.arguments,
            num_embeddings=config.num_embeddings,
            beta=config.beta,
            patience=config.patience,
        )

    @property
    def keeps_shape(self) -> bool:
        """It does."""
        return True

    def after_optimizer_step(self) -> None:
        """One step of the code book is over."""
        self.network.quantizer.settle()

    def diagnostics(self) -> dict[str, float]:
        """How the code book is used: see :class:`~model_zoo.blocks.quantizer.Usage`."""
        codes, perplexity = self.network.quantizer.usage()
        return {"codes": codes, "perplexity": perplexity}

    def blocks(self) -> Iterator[nn.Module]:
        """The levels' parts and the code book.

        The quantizer around the book counts how codes are used, and must not do so twice for one
        batch when blocks are computed again.
        """
        quantizer = self.network.quantizer
        for part in parts_of(self.network):
            yield quantizer.embedding if part is quantizer else part

    def answer(
        self, spectrum: Spectrum, numbers: Float[Tensor, "batch channel freq_seen frame"]
    ) -> Spectra:
        """Decoded magnitudes with the mixture's phase; nothing at Nyquist.

        The square of a number is a magnitude's share of full scale: never negative, fine where it
        is quiet, and near silence to start from. (A sigmoid would start at half of full scale, then
        overshoot to silence and stay there for long.)
        """
        # In float32 from here on: squares of small numbers are nothing in half precision.
        magnitudes = with_nyquist(numbers.float().square()) * self.full_scale
        return torch.polar(magnitudes, spectrum.angle()).unsqueeze(1)

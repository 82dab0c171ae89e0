"""Multi-scale TFSWA-UNet: long windows for pitch, short ones for moments, heard together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.architectures.tfswa_unet import (
    SEVERAL,
    SMALL,
    TFSWASeparator,
    TFSWAUNet,
    TFSWAUNetConfig,
)
from model_zoo.axes import Stems, Wave
from model_zoo.blocks.plane_attention import FrequencySequenceAttention, padded
from model_zoo.blocks.spectral import Fourier
from model_zoo.config import broken
from model_zoo.ops.spectra import with_nyquist
from model_zoo.separator import Documented, Sizes, Spectra, Spectrum, parts_of


@dataclass(frozen=True)
class MultiScaleTFSWAConfig(TFSWAUNetConfig):
    """Arguments of :class:`MultiScaleTFSWASeparator`.

    Attributes:
        depths: blocks of each level of each U, the outermost first, the bottleneck last.
        dims: features of each level.
        num_heads: attention heads.
        window_size: longest STFT window in samples.
        hop_size: samples between two frames of every resolution.
        scales: resolutions; the window of each is half as long as that of the one before.
    """

    depths: tuple[int, ...] = (2, 2, 2, 2)
    dims: tuple[int, ...] = (16, 32, 64, 128)
    num_heads: int = 4
    window_size: int = 8192
    scales: int = field(default=3, kw_only=True)

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        shortest = self.window_size / 2 ** (self.scales - 1)
        too_long = self.hop_size > shortest / 2
        rules = {
            f"hop_size must be at most half of the shortest window, {shortest:g} samples": too_long,
            f"window_size must be a multiple of {2**self.scales} (2 to the power of scales)": (
                self.window_size % 2**self.scales > 0
            ),
        }
        return super().mistakes() or broken(rules)

    @property
    def windows(self) -> tuple[int, ...]:
        """Length of each STFT window in samples, the longest first."""
        return tuple(self.window_size >> scale for scale in range(self.scales))


class Balance(nn.Module):
    """How much each resolution counts for each stem: shares that add up to 1.

    Args:
        scales: resolutions.
        stems: stems.
    """

    def __init__(self, scales: int, stems: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(scales, stems))

    def forward(
        self, masks: list[Float[Tensor, "batch stem frame _"]]
    ) -> Float[Tensor, "batch stem frame freq"]:
        """Each mask times its share, side by side."""
        shares = self.logits.softmax(0)[:, :, None, None]
        return torch.cat([mask * share for mask, share in zip(masks, shares, strict=True)], -1)


class MultiScaleTFSWA(nn.Module):
    """Masks for several spectrograms of one sound at once.

    Long windows tell pitches apart, short ones moments. Each resolution has a U of its own; all
    have the same frames. Between encoders and decoders the deepest bins of all resolutions look at
    each other along frequency, so that each knows in every frame what the others hear::

        window 8192 ─ encoder ─┐              ┌─ decoder ─ mask × share ─ stem ─┐
        window 4096 ─ encoder ─┼─ attention ──┼─ decoder ─ mask × share ─ stem ─┼ + ─▶
        window 2048 ─ encoder ─┘              └─ decoder ─ mask × share ─ stem ─┘

    Shares add up to 1 over the resolutions, so that masks of 1 give the mixture back.

    Args:
        in_channels: numbers of a bin: real and imaginary part.
        out_channels: masks.
        bins: of each resolution; their planes lie side by side along frequency.
        depths: blocks of each level of each U, the outermost first, the bottleneck last.
        dims: features of each level.
        window_size: frames and bins of an attention window.
        shift_size: frames and bins by which the windows of every second block are shifted.
        num_heads: attention heads.
        skip_projection: see :class:`~model_zoo.architectures.tfswa_unet.TFSWAUNet`.
    """

    def __init__(
        self,
        in_channels: int = 2,
        out_channels: int = 2,
        bins: Sequence[int] = (4096, 2048, 1024),
        depths: Sequence[int] = (2, 2, 2, 2),
        dims: Sequence[int] = (16, 32, 64, 128),
        window_size: int = 8,
        shift_size: int = 4,
        num_heads: int = 4,
        skip_projection: bool = True,
    ) -> None:
        super().__init__()
        inside = (depths, dims, window_size, shift_size, num_heads, skip_projection)
        self.bins = [*bins]
        self.paths = nn.ModuleList(TFSWAUNet(in_channels, out_channels, *inside) for _ in bins)
        self.exchange = FrequencySequenceAttention(dims[-1], num_heads)
        self.balance = Balance(len(bins), out_channels)

    def forward(
        self, x: Float[Tensor, "batch channel frame freq"]
    ) -> Float[Tensor, "batch stem frame freq"]:
        """Every resolution's masks times its shares."""
        planes = torch.split(x, self.bins, dim=-1)
        ladders = [path.encode(padded(plane, path.multiple)) for path, plane in self._with(planes)]
        deepest = [ladder.pop() for ladder in ladders]
        together = self.exchange(torch.cat(deepest, dim=-1))
        parts = torch.split(together, [plane.shape[-1] for plane in deepest], dim=-1)
        masks = [
            path.decode([*ladder, part])
            for (path, ladder), part in zip(self._with(ladders), parts, strict=True)
        ]
        frames, sizes = x.shape[-2], zip(masks, self.bins, strict=True)
        return self.balance([mask[..., :frames, :bins] for mask, bins in sizes])

    def _with(self, values: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        return zip(self.paths, values, strict=True)


class MultiScaleTFSWASeparator(TFSWASeparator):
    """Stems from :class:`MultiScaleTFSWA`: the sum of what each resolution gives.

    Takes the arguments of :class:`MultiScaleTFSWAConfig`.
    """

    Config = MultiScaleTFSWAConfig
    network: MultiScaleTFSWA
    purpose = "pitched and percussive sound alike: TFSWA-UNets over three lengths of window"
    sizes = Sizes(
        small={**SMALL, "scales": 2}, several=SEVERAL, documented=(Documented(7_850_924),)
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        # The longest window is that of the base.
        self.shorter = nn.ModuleList(Fourier(size, config.hop_size) for size in config.windows[1:])
        self.bins = [size // 2 for size in config.windows]
        self.network = MultiScaleTFSWA(
            2,
            len(self.stems),
            self.bins,
            config.depths,
            config.dims,
            config.attention_window,
            config.shift_size,
            config.num_heads,
            config.skip_projection,
        )

    def blocks(self) -> Iterator[nn.Module]:
        """Every block, and the layers between levels."""
        for path in self.network.paths:
            for stage in parts_of(path):
                yield from parts_of(stage)
        yield self.network.exchange
        yield self.network.balance

    def spectrum(self, mixture: Wave) -> Spectrum:
        """The bins of all resolutions, side by side, each without Nyquist."""
        others = [torch.view_as_complex(one.stft(mixture)) for one in self._shorter()]
        parts = [super().spectrum(mixture), *(spectrum[:, :, :-1] for spectrum in others)]
        return torch.cat(parts, dim=2)

    def waves(self, spectra: Spectra, length: int) -> Stems:
        """The sum of the waveforms of all resolutions."""
        longest, *others = torch.split(spectra, self.bins, dim=3)
        waves = super().waves(longest, length)
        for fourier, part in zip(self._shorter(), others, strict=True):
            waves = waves + fourier.istft(torch.view_as_real(with_nyquist(part)), length)
        return waves

    def _shorter(self) -> Iterator[Fourier]:
        for fourier in self.shorter:
            yield cast(Fourier, fourier)

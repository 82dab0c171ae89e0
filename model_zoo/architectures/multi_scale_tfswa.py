"""Multi-scale TFSWA-UNet: long STFT windows resolve pitch, short ones onsets, all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.architectures.tfswa_unet import (
    SMALL,
    TFSWAFrontend,
    TFSWAUNet,
    TFSWAUNetConfig,
    layers_of_stages,
)
from model_zoo.axes import MonoWave, Stems, Wave
from model_zoo.blocks.plane_attention import FrequencySequenceAttention, padded
from model_zoo.config import broken
from model_zoo.separator import Spectra, SpectralSeparator, Spectrum

T = TypeVar("T")


@dataclass(frozen=True)
class MultiScaleTFSWAConfig(TFSWAUNetConfig):
    """Arguments of :class:`MultiScaleTFSWASeparator`.

    Attributes:
        depths: blocks of each level of each U-Net, the outermost first, the bottleneck last.
        dims: features of each level.
        num_heads: attention heads.
        window_size: longest STFT window in samples.
        hop_size: samples between two frames at every resolution.
        scales: number of resolutions; each has a window half as long as the one before.
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


class MultiScaleFrontend(TFSWAFrontend):
    """Spectrograms with windows of several lengths, side by side along frequency.

    Args:
        windows: lengths in samples, the longest first.
        hop_size: samples between two frames at every resolution.

    Attributes:
        bins: bins of each resolution, without Nyquist.
        shorter: front ends of all windows but the longest; the separator registers them.
    """

    def __init__(self, windows: Sequence[int], hop_size: int) -> None:
        super().__init__(windows[0], hop_size)
        self.bins = [size // 2 for size in windows]
        self.shorter = tuple(TFSWAFrontend(size, hop_size) for size in windows[1:])

    def analyze(self, mixture: Wave | MonoWave) -> Spectrum:
        """Spectrograms of all resolutions, each without Nyquist."""
        others = [frontend.analyze(mixture) for frontend in self.shorter]
        return torch.cat([super().analyze(mixture), *others], dim=2)

    def synthesize(self, spectra: Spectra, mixture: Wave | MonoWave) -> Stems | MonoWave:
        """Sum of the waveforms of all resolutions."""
        longest, *others = torch.split(spectra, self.bins, dim=3)
        waves = super().synthesize(longest, mixture)
        for frontend, part in zip(self.shorter, others, strict=True):
            waves = waves + frontend.synthesize(part, mixture)
        return waves


class Balance(nn.Module):
    """Share of each resolution in each stem; the shares of a stem add up to 1.

    Args:
        scales: number of resolutions.
        stems: number of stems.
    """

    def __init__(self, scales: int, stems: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(scales, stems))

    def forward(
        self, masks: list[Float[Tensor, "batch stem frame _"]]
    ) -> Float[Tensor, "batch stem frame freq"]:
        """Masks times their shares, side by side along frequency."""
        shares = self.logits.softmax(0)[:, :, None, None]
        return torch.cat([mask * share for mask, share in zip(masks, shares, strict=True)], -1)


class MultiScaleTFSWA(nn.Module):
    """Masks for several spectrograms of one sound at once.

    Long windows resolve pitch, short ones onsets. Each resolution has a U-Net of its own; all have
    the same frames. Between encoders and decoders, the deepest bins of all resolutions attend to
    each other along frequency::

        window 8192 ─ encoder ─┐              ┌─ decoder ─ mask × share ─ stem ─┐
        window 4096 ─ encoder ─┼─ attention ──┼─ decoder ─ mask × share ─ stem ─┼ + ─▶
        window 2048 ─ encoder ─┘              └─ decoder ─ mask × share ─ stem ─┘

    Shares add up to 1 over the resolutions, so masks of 1 reproduce the mixture.

    Args:
        in_channels: values per bin: real and imaginary part.
        out_channels: number of masks.
        bins: bins of each resolution; their planes are side by side along frequency.
        depths: blocks of each level of each U-Net, the outermost first, the bottleneck last.
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
        """Masks of every resolution times their shares."""
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

    def _with(self, values: Sequence[T]) -> Iterator[tuple[TFSWAUNet, T]]:
        for path, value in zip(self.paths, values, strict=True):
            assert isinstance(path, TFSWAUNet)
            yield path, value


class MultiScaleTFSWASeparator(SpectralSeparator):
    """Sum of the masked spectrograms of all resolutions, from :class:`MultiScaleTFSWA`.

    Takes the arguments of :class:`MultiScaleTFSWAConfig`.
    """

    Config = MultiScaleTFSWAConfig
    config: MultiScaleTFSWAConfig
    purpose = "pitched and percussive sound: TFSWA-UNets at three window lengths"
    documented_parameters = 7_850_924
    small_options: ClassVar[Mapping[str, Any]] = {**SMALL, "scales": 2}
    channels = 1
    network: MultiScaleTFSWA

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.fourier = frontend = MultiScaleFrontend(config.windows, config.hop_size)
        self.shorter = nn.ModuleList(frontend.shorter)  # named like this in checkpoints
        self.network = MultiScaleTFSWA(
            2,
            len(config.stems),
            frontend.bins,
            config.depths,
            config.dims,
            config.attention_window,
            config.shift_size,
            config.num_heads,
            config.skip_projection,
        )

    def blocks(self) -> Iterator[nn.Module]:
        """Attention blocks, the layers between levels, and the parts that all resolutions share."""
        for path in self.network.paths:
            yield from layers_of_stages(path)
        yield self.network.exchange
        yield self.network.balance

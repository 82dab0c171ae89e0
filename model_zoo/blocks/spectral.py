"""STFT modules, splitting spectrograms into mel bands, and dual-path networks over both axes.

A filter bank is a matrix of overlapping triangles, one row per band. Networks only use *where* a
triangle is positive; the heights weigh the sum where bands overlap.

Mel scale: Slaney 1998, Auditory Toolbox; 200/3 Hz per mel below 1 kHz, 27 steps for a factor of
6.4 above it.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from model_zoo.ops.spectra import istft, stft

LINEAR_HZ_PER_MEL = 200 / 3
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / LINEAR_HZ_PER_MEL  # 15 mel
MELS_PER_LOG = 27 / math.log(6.4)


def hz_to_mel(hz: float) -> float:
    """Frequency in Hz to Slaney's mel."""
    if hz < BREAK_HZ:
        return hz / LINEAR_HZ_PER_MEL
    return BREAK_MEL + MELS_PER_LOG * math.log(hz / BREAK_HZ)


def mel_to_hz(mel: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Slaney's mel to frequency in Hz."""
    above = BREAK_HZ * torch.exp((mel - BREAK_MEL) / MELS_PER_LOG)
    return torch.where(mel < BREAK_MEL, mel * LINEAR_HZ_PER_MEL, above)


def mel_bank(sample_rate: int, n_fft: int, bands: int) -> Float[Tensor, "band freq"]:
    """Triangles of height 1 (no area normalization), equally spaced in mel from 0 to Nyquist.

    Between the centres of two adjacent bands their heights add up to 1. DC is in no band. Nyquist
    is in the last band with the smallest positive height: other implementations have a rounding
    residue there, and the number of bins of a band determines the shapes of a network's tensors.
    """
    top = hz_to_mel(sample_rate / 2)
    edges = mel_to_hz(torch.linspace(0, top, bands + 2, dtype=torch.float64))
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * sample_rate / n_fft
    low, centre, high = (edges[i : i + bands, None] for i in range(3))
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    bank = torch.minimum(rising, falling).clamp_min(0)
    bank[:, 0] = 0
    bank[:, -1] = 0
    bank[-1, -1] = torch.finfo(torch.float32).tiny
    return bank.float()


def linear_bank(n_fft: int, bands: int) -> Float[Tensor, "band freq"]:
    """Triangles between equally spaced whole bins from 0 to Nyquist."""
    bins = n_fft // 2 + 1
    edges = torch.linspace(0, bins, bands + 2).long().tolist()
    bank = torch.zeros(bands, bins)
    for band, (low, centre, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        bank[band, low:centre] = torch.linspace(0, 1, centre - low)
        bank[band, centre:high] = torch.linspace(1, 0, high - centre)
    return bank


def padded_sets(
    members: Bool[Tensor, "band freq"],
) -> tuple[list[list[int]], list[list[float]]]:
    """Bins of every band, padded with bin 0 to the widest, and a mask with 0 for padding."""
    sets = [row.nonzero().flatten().tolist() for row in members]
    widest = max(len(bins) for bins in sets)
    indices = [bins + [0] * (widest - len(bins)) for bins in sets]
    real = [[1.0] * len(bins) + [0.0] * (widest - len(bins)) for bins in sets]
    return indices, real


Scale = Literal["mel", "linear"]
OverlapNorm = Literal["ola", "count"]


class Fourier(nn.Module):
    """Short-time Fourier transform with a Hann window that travels with the weights.

    Args:
        n_fft: window length in samples.
        hop_length: samples from one frame to the next.
        persistent: whether the window is saved with the weights.
    """

    window: Tensor

    def __init__(
        self, n_fft: int = 2048, hop_length: int = 441, *, persistent: bool = True
    ) -> None:
        super().__init__()
        self.hop_length = hop_length
        # On the device "meta", PyTorch would load its compiler for this, which takes a second.
        window = torch.hann_window(n_fft, device="cpu").to(torch.get_default_device())
        self.register_buffer("window", window, persistent=persistent)

    def conventions(self) -> dict[str, int | str | bool]:
        """What another program needs to compute the same transform."""
        return {
            "window": "hann, periodic",
            "window_size": self.window.numel(),
            "hop_size": self.hop_length,
            "frames": "centred on multiples of the hop, the ends of the mixture reflected",
            "scale": "the sum over the windowed samples, as in torch.stft",
        }

    def stft(self, wave: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch freq frame 2"]:
        """Spectrum, real and imaginary parts last."""
        return torch.view_as_real(stft(wave, self.window, self.hop_length))

    def istft(
        self, spectrum: Float[Tensor, "*batch freq frame 2"], original_length: int
    ) -> Float[Tensor, "*batch time"]:
        """Waveform of ``original_length`` samples."""
        is_paired = spectrum.stride(-1) == 1  # like complex numbers, in any order of the other axes
        complex_spectrum = torch.view_as_complex(spectrum if is_paired else spectrum.contiguous())
        return istft(complex_spectrum, self.window, self.hop_length, original_length)


class BandLinear(nn.Module):
    """One linear layer per band, computed at once.

    Args:
        num_bands: number of layers.
        in_features: input features of a token.
        out_features: output features of a token.
    """

    def __init__(self, num_bands: int, in_features: int, out_features: int) -> None:
        super().__init__()
        bound = in_features**-0.5
        weight = torch.empty(num_bands, in_features, out_features).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(num_bands, out_features))

    def forward(
        self, x: Float[Tensor, "band token features_in"]
    ) -> Float[Tensor, "band token features_out"]:
        """Transform the tokens of every band with the band's own weights."""
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight)


class Band(nn.Module):
    """Split a spectrogram into overlapping bands of one width each, and merge them again.

    Args:
        sr: sample rate in Hz.
        n_fft: window length of the spectrogram.
        bands_num: number of bands.
        in_channels: input values per bin (2 for real and imaginary part).
        out_channels: width of a band's token.
        scale: spacing of the bands, ``"mel"`` or ``"linear"``.
        merge_channels: output values per bin; 0 stands for ``in_channels``.
        overlap_norm: divisor of the sum of overlapping bands: ``"ola"`` the summed heights of the
            triangles (which amplifies bins at the outer edges), ``"count"`` the number of bands
            that cover the bin.
    """

    filterbanks: Tensor
    ola_window: Tensor
    f_idxes: Tensor
    mask: Tensor
    covered: Tensor

    def __init__(
        self,
        sr: int,
        n_fft: int,
        bands_num: int,
        in_channels: int,
        out_channels: int,
        scale: Scale = "mel",
        *,
        merge_channels: int = 0,
        overlap_norm: OverlapNorm = "ola",
    ) -> None:
        super().__init__()
        self.bands_num, self.overlap_norm = bands_num, overlap_norm
        self.merge_channels = merge_channels or in_channels
        self._register_layout(_bank(scale, sr, n_fft, bands_num))
        width = self.f_idxes.numel() // bands_num
        self.pre_bandnet = BandLinear(bands_num, width * in_channels, out_channels)
        self.post_bandnet = BandLinear(bands_num, out_channels, width * self.merge_channels)

    def _register_layout(self, bank: Float[Tensor, "band freq"]) -> None:
        indices, real = padded_sets(bank > 0)
        heights, covered = bank.sum(0), (bank > 0).sum(0).clamp_min(1).float()
        self.register_buffer("filterbanks", bank)
        self.register_buffer("ola_window", torch.where(heights < 1e-8, 1.0, heights))
        self.register_buffer("f_idxes", torch.tensor(indices).flatten())
        self.register_buffer("mask", torch.tensor(real).flatten())
        self.register_buffer("covered", covered, persistent=False)

    def split(
        self, x: Float[Tensor, "batch freq frame channel"]
    ) -> Float[Tensor, "batch feature frame band"]:
        """Gather the bins of every band and map them to one token per band and frame."""
        batch = x.shape[0]
        bins = x.index_select(1, self.f_idxes) * self.mask[:, None, None]
        tokens = rearrange(bins, "b (k w) t c -> k (b t) (w c)", k=self.bands_num)
        return rearrange(self.pre_bandnet(tokens), "k (b t) d -> b d t k", b=batch)

    def unsplit(
        self, x: Float[Tensor, "batch feature frame band"]
    ) -> Float[Tensor, "batch freq frame channel"]:
        """Map every token back to its bins, add where bands overlap and normalize."""
        batch = x.shape[0]
        bins = self.post_bandnet(rearrange(x, "b d t k -> k (b t) d"))
        bins = rearrange(bins, "k (b t) (w c) -> b (k w) t c", b=batch, c=self.merge_channels)
        bins = bins * self.mask[:, None, None]
        empty = bins.new_zeros(batch, self.ola_window.numel(), *bins.shape[2:])
        divisor = self.ola_window if self.overlap_norm == "ola" else self.covered
        return empty.index_add(1, self.f_idxes, bins) / divisor[:, None, None]


def _bank(scale: Scale, sr: int, n_fft: int, bands_num: int) -> Float[Tensor, "band freq"]:
    # The layout fixes shapes, so it is computed even for a network without storage (device "meta").
    with torch.device("cpu"):
        if scale == "mel":
            return mel_bank(sr, n_fft, bands_num)
        return linear_bank(n_fft, bands_num)


class DualPath(nn.Module):
    """Split into bands, apply a frequency block and a time block per layer, and merge the bands.

    A frequency block processes the bands of one frame as a sequence, a time block the frames of one
    band.

    Args:
        band: layers from bins to bands and back.
        freq_blocks: one per layer, over sequences ``batch token feature`` of bands.
        time_blocks: one per layer, over sequences of frames.
    """

    def __init__(self, band: Band, freq_blocks: nn.ModuleList, time_blocks: nn.ModuleList) -> None:
        super().__init__()
        self.band, self.freq_blocks, self.time_blocks = band, freq_blocks, time_blocks

    def forward(
        self, features: Float[Tensor, "batch freq frame channel"]
    ) -> Float[Tensor, "batch freq frame merged"]:
        """Mask or spectrum for every bin from the features of every bin."""
        batch = features.shape[0]
        x = rearrange(self.band.split(features), "b d t k -> (b t) k d")
        for freq_block, time_block in zip(self.freq_blocks, self.time_blocks, strict=True):
            x = freq_block(x)
            x = time_block(rearrange(x, "(b t) k d -> (b k) t d", b=batch))
            x = rearrange(x, "(b k) t d -> (b t) k d", b=batch)
        return self.band.unsplit(rearrange(x, "(b t) k d -> b d t k", b=batch))

"""Distances between mel spectrograms."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.axes import Stems
from model_zoo.config import broken
from trainers.losses.contract import Loss, LossOptions, require_more_than
from trainers.losses.spectral import resolution_mistakes, spectrum

Scale = Literal["htk", "slaney"]
Norm = Literal["none", "slaney"]


@dataclass(frozen=True)
class MultiMel(LossOptions):
    """Several resolutions; the defaults are those of MSRKit.

    Attributes:
        n_fft: lengths of the Hann windows, in samples.
        hop: of each, in samples.
        n_mels: number of mel filters of each.
        clip: smallest mel magnitude that logarithms tell from silence.
        mel_scale: ``htk``, or ``slaney`` as in librosa.
        norm: ``none``: filters have a height of 1; ``slaney``: an area of 1 over Hz.
    """

    n_fft: tuple[int, ...] = (1024, 2048, 512)
    hop: tuple[int, ...] = (256, 512, 128)
    n_mels: tuple[int, ...] = (80, 160, 40)
    clip: float = 1e-7
    mel_scale: Scale = "htk"
    norm: Norm = "none"

    def mistakes(self) -> list[str]:
        """Values that cannot be used."""
        return resolution_mistakes(self.n_fft, self.hop) + broken(
            {
                f"n_mels must be as many as n_fft: {len(self.n_mels)} instead of "
                f"{len(self.n_fft)}": len(self.n_mels) != len(self.n_fft),
                "n_mels must be 1 or more": any(mels < 1 for mels in self.n_mels),
                "clip must be above 0": not self.clip > 0,
            }
        )

    def make(self, sample_rate: int) -> Loss:
        """See :class:`MultiMelDistance`."""
        views = [
            MelView(n_fft, hop, mel_filters(n_fft, n_mels, sample_rate, self.mel_scale, self.norm))
            for n_fft, hop, n_mels in zip(self.n_fft, self.hop, self.n_mels, strict=True)
        ]
        return MultiMelDistance(views, self.clip)


class MultiMelDistance(nn.Module):
    """L1 distance of logarithms of mel magnitudes, averaged over resolutions.

    As in MSRKit and, with other numbers, in DAC (Kumar et al. 2023, arXiv 2306.06546).
    Logarithms are natural, of magnitudes of ``clip`` at least; spectra are not scaled.

    Args:
        views: one for each resolution.
        clip: smallest magnitude.
    """

    def __init__(self, views: Sequence[MelView], clip: float) -> None:
        super().__init__()
        self.views, self.clip = nn.ModuleList(views), clip
        self.half_window = max(view.n_fft for view in views) // 2

    def forward(self, estimate: Stems, reference: Stems) -> Float[Tensor, ""]:
        """The distance.

        Raises:
            TooShortError: the waves are not longer than half of the longest window.
        """
        require_more_than(self.half_window, estimate)
        self.to(estimate.device)
        distances = []
        for view in self.views:
            found, wanted = (view(wave).clamp_min(self.clip) for wave in (estimate, reference))
            distances.append((found.log() - wanted.log()).abs().mean())
        return torch.stack(distances).mean()


class MelView(nn.Module):
    """Mel spectrogram of magnitudes.

    Args:
        n_fft: length of the Hann window, in samples.
        hop: in samples.
        filters: see :func:`mel_filters`.
    """

    filters: Tensor

    def __init__(self, n_fft: int, hop: int, filters: Float[Tensor, "mel freq"]) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, wave: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch mel frame"]:
        """Weighted sums of magnitudes."""
        return self.filters @ spectrum(wave, self.n_fft, self.hop).abs()


def mel_filters(
    n_fft: int, n_mels: int, sample_rate: int, scale: Scale = "htk", norm: Norm = "none"
) -> Float[Tensor, "mel freq"]:
    """Triangles from 0 Hz to half of the sample rate, equally wide on the mel scale.

    Where bins are wider than triangles some filters have no bin. They give nothing for any sound
    and count as equal, as in the originals, so torchaudio's warning of them is not passed on.

    Raises:
        MissingExtraError: torchaudio is not installed.
    """
    from model_zoo.ops.torchaudio_functions import functional

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "At least one mel filterbank", UserWarning)
        filters: Tensor = functional.melscale_fbanks(
            n_fft // 2 + 1,
            0.0,
            float(sample_rate // 2),
            n_mels,
            sample_rate,
            None if norm == "none" else norm,
            scale,
        )
    return filters.T.contiguous()

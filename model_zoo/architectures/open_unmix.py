"""Open-Unmix (Stöter, Uhlich, Liutkus and Mitsufuji 2019, JOSS 4(41), 1667): an LSTM per stem.

::

    mixture ─ STFT ─ magnitudes ─┬─▶ network of stem 1 ─▶ mask ─┐
                                 ├─▶ network of stem 2 ─▶ mask ─┼─▶ Wiener filter ─▶ stems
                                 └─▶ ...                       ─┘

Each network estimates the magnitudes of its stem as those of the mixture times a mask of 0 or more.
The masked mixtures are the first estimates of a multichannel Wiener filter
(:mod:`model_zoo.ops.wiener`), which also separates by direction.
https://doi.org/10.21105/joss.01667

The tensors of stem N are ``targets.N.KEY``, where KEY is the name in the authors' file for this
stem: one ``.pth`` of a state dict per stem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from model_zoo.config import broken
from model_zoo.ops.spectra import gain
from model_zoo.ops.tensors import full_precision
from model_zoo.ops.wiener import soft_masks, wiener_filter
from model_zoo.separator import Frontend, Spectra, SpectralConfig, SpectralSeparator, Spectrum

Magnitudes = Float[Tensor, "batch channel freq_in frame"]
Mask = Float[Tensor, "batch channel freq frame"]
Masks = Float[Tensor, "batch masked_stem channel freq frame"]

MOST_ITERATIONS = 100
"""Limit of ``niter``, against files that would take forever."""


@dataclass(frozen=True)
class OpenUnmixConfig(SpectralConfig):
    """Arguments of :class:`OpenUnmix`; the defaults are those of the authors' ``umxhq``.

    Attributes:
        hidden_size: features of a frame inside the networks; 1024 in ``umxl``.
        num_layers: recurrent layers of each network.
        unidirectional: whether LSTMs only run forwards in time.
        num_bins: bins of the spectrogram that the networks see, from 0 Hz upwards (``max_bin``).
            The default is 16 kHz. Masks are for all bins.
        stems: names of the sources, in order.
        audio_channels: 2 to process left and right together, 1 to process each on its own.
        niter: iterations of the Wiener filter in evaluation; 0 for the masked mixture. Networks are
            trained on the masked mixture.
        softmask: divide the estimated magnitudes of each stem by the sum of all, before the filter.
        residual: whether the last of ``stems`` has no network: its first estimate is what the
            others leave of the mixture.
        wiener_win_len: frames that the filter takes at once; None for the whole mixture.
        dropout: dropout probability in training, between recurrent layers.
        window_size: STFT window in samples.
        hop_size: samples between two frames.
        sample_rate: sample rate in Hz.
        segment: length in samples that the network is trained on.
    """

    hidden_size: int = 512
    num_layers: int = 3
    unidirectional: bool = False
    num_bins: int = 1487
    stems: tuple[str, ...] = field(default=("vocals", "drums", "bass", "other"), kw_only=True)
    audio_channels: int = field(default=2, kw_only=True)
    niter: int = field(default=1, kw_only=True)
    softmask: bool = field(default=False, kw_only=True)
    residual: bool = field(default=False, kw_only=True)
    wiener_win_len: int | None = field(default=300, kw_only=True)
    dropout: float = field(default=0.4, kw_only=True)
    window_size: int = field(default=4096, kw_only=True)
    hop_size: int = field(default=1024, kw_only=True)
    sample_rate: int = field(default=44_100, kw_only=True)
    segment: int = field(default=264_600, kw_only=True)  # 6 s

    may_be_zero = ("niter",)

    @property
    def bins(self) -> int:
        """Bins of the spectrogram."""
        return self.window_size // 2 + 1

    @property
    def masked_stems(self) -> int:
        """Stems with a network of their own."""
        return len(self.stems) - self.residual

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        window, single = self.wiener_win_len, len(self.stems) == 1
        rules = {
            "audio_channels must be 1 or 2": self.audio_channels not in (1, 2),
            f"num_bins must be at most the {self.bins} of window_size={self.window_size}, "
            f"found {self.num_bins}": self.num_bins > self.bins,
            f"hidden_size must be even for LSTMs in both directions, found {self.hidden_size}": (
                self.hidden_size % 2 > 0 and not self.unidirectional
            ),
            f"niter must be from 0 to {MOST_ITERATIONS}, found {self.niter}": not (
                0 <= self.niter <= MOST_ITERATIONS
            ),
            f"wiener_win_len must be at least 1, found {window}": window is not None and window < 1,
            "residual needs another stem before the last": self.residual and single,
            "niter must be 0 for a single stem: the filter weighs stems against each other": (
                self.niter > 0 and single
            ),
            f"dropout must be in [0, 1), found {self.dropout}": not 0 <= self.dropout < 1,
        }
        return [*super().mistakes(), *broken(rules)]


class TargetNetwork(nn.Module):
    """Magnitudes of a mixture to the mask of one stem.

    Means and scales stand for statistics of the training data: they are added to and multiplied
    with each bin.

    Args:
        config: of the separator.
    """

    def __init__(self, config: OpenUnmixConfig) -> None:
        super().__init__()
        width, values = config.hidden_size, config.audio_channels * config.bins
        self.input_mean = nn.Parameter(torch.zeros(config.num_bins))
        self.input_scale = nn.Parameter(torch.ones(config.num_bins))
        self.output_scale = nn.Parameter(torch.ones(config.bins))
        self.output_mean = nn.Parameter(torch.ones(config.bins))
        self.fc1 = nn.Linear(config.audio_channels * config.num_bins, width, bias=False)
        self.bn1 = nn.BatchNorm1d(width)
        self.lstm = nn.LSTM(
            width,
            width if config.unidirectional else width // 2,
            config.num_layers,
            batch_first=True,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            bidirectional=not config.unidirectional,
        )
        self.fc2 = nn.Linear(2 * width, width, bias=False)
        self.bn2 = nn.BatchNorm1d(width)
        self.fc3 = nn.Linear(width, values, bias=False)
        self.bn3 = nn.BatchNorm1d(values)

    def forward(self, magnitudes: Magnitudes) -> Mask:
        """Factor of each bin and frame, 0 or more."""
        batch, channels = magnitudes.shape[:2]
        x = rearrange(magnitudes, "b c f t -> b t c f")
        x = (x + self.input_mean) * self.input_scale
        x = torch.tanh(self.bn1(self.fc1(rearrange(x, "b t c f -> (b t) (c f)"))))
        x = rearrange(x, "(b t) h -> b t h", b=batch)
        x = torch.cat([x, self.lstm(x)[0]], dim=-1)
        x = F.relu(self.bn2(self.fc2(rearrange(x, "b t h -> (b t) h"))))
        x = rearrange(self.bn3(self.fc3(x)), "(b t) (c f) -> b c t f", b=batch, c=channels)
        return F.relu(x * self.output_scale + self.output_mean).mT


class TargetNetworks(nn.Module):
    """Magnitudes of a mixture to the masks of all stems with a network.

    Args:
        targets: one network per stem.
    """

    def __init__(self, targets: nn.ModuleList) -> None:
        super().__init__()
        self.targets = targets

    def forward(self, magnitudes: Magnitudes) -> Masks:
        """One mask per network."""
        return torch.stack([network(magnitudes) for network in self.targets], dim=1)


class OpenUnmixFrontend(Frontend):
    """Magnitudes of the lower bins, for a core whose output is masks for all bins.

    Args:
        config: of the separator.
    """

    def __init__(self, config: OpenUnmixConfig) -> None:
        super().__init__(config.window_size, config.hop_size)
        self.config = config

    def features(self, spectrum: Spectrum) -> Magnitudes:
        """Magnitudes of the lower bins."""
        return spectrum[..., : self.config.num_bins, :].abs()

    def apply_output(self, spectrum: Spectrum, output: Masks) -> Spectra:
        """Spectrogram of the mixture under the masks, refined by the Wiener filter."""
        config = self.config
        with full_precision(output):
            masks = output.float()
            if config.softmask:
                masks = soft_masks(masks * spectrum.abs().unsqueeze(1))
            stems = gain(spectrum.unsqueeze(1), masks.unsqueeze(-1))
            if config.residual:
                rest = spectrum.unsqueeze(1) - stems.sum(1, keepdim=True)
                stems = torch.cat([stems, rest], dim=1)
            iterations = 0 if self.training else config.niter
            return wiener_filter(stems, spectrum, iterations, config.wiener_win_len)


class OpenUnmix(SpectralSeparator):
    """Stems by masks from an LSTM per stem, refined by a multichannel Wiener filter.

    Takes the arguments of :class:`OpenUnmixConfig`. A network has 8,893,348 parameters, in the size
    of the authors' ``umxl`` 28,257,188.
    """

    Config = OpenUnmixConfig
    config: OpenUnmixConfig
    purpose = "four stems on small machines: an LSTM per stem over magnitudes, and a Wiener filter"
    documented_parameters = 4 * 8_893_348
    adds_up = False
    small_options: ClassVar[Mapping[str, Any]] = {
        **{"hidden_size": 16, "num_layers": 2, "num_bins": 96, "dropout": 0.1},
        **{"wiener_win_len": 16, "window_size": 256, "hop_size": 64, "sample_rate": 16_000},
        "segment": 4096,
    }
    weight_independent_options = (
        *SpectralSeparator.weight_independent_options,
        *("niter", "softmask", "wiener_win_len", "dropout"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.channels = self.config.audio_channels
        self.fourier = OpenUnmixFrontend(self.config)
        networks = (TargetNetwork(self.config) for _ in range(self.config.masked_stems))
        self.targets = nn.ModuleList(networks)

    @cached_property
    def core(self) -> TargetNetworks:
        """Magnitudes to masks; not registered, so that tensor names lack ``core``."""
        return TargetNetworks(self.targets)

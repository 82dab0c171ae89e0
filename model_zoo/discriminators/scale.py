"""Views of the waveform at lower sample rates (MelGAN: Kumar et al. 2019, arXiv 1910.06711)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from model_zoo.discriminators.contract import Discriminator, SubDiscriminator
from model_zoo.discriminators.layers import Layer, run

# Channels after, kernel, stride and groups of each layer.
LAYERS = (
    (16, 15, 1, 1),
    (64, 41, 4, 4),
    (256, 41, 4, 16),
    (1024, 41, 4, 64),
    (1024, 41, 4, 256),
    (1024, 5, 1, 1),
)


class MultiScaleDiscriminator(Discriminator):
    """Hears the waveform at several rates.

    Args:
        sample_rate: in Hz; kept for the record, nothing depends on it.
        downsample_rates: factors by which the rate is lowered.
        nch: channels of the waveform.
        norm: normalise weights by their spectral norm.
    """

    def __init__(
        self,
        sample_rate: int,
        downsample_rates: Sequence[int] = (2, 4),
        nch: int = 1,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.discriminators = nn.ModuleList(
            ScaleDiscriminator(nch, rate, norm) for rate in downsample_rates
        )


class ScaleDiscriminator(SubDiscriminator):
    """The waveform, linearly interpolated at a lower rate; kernels look along time."""

    def __init__(self, nch: int, rate: int, norm: bool) -> None:
        super().__init__()
        self.rate = rate
        self.layers = nn.ModuleList()
        before = nch
        for after, kernel, stride, groups in LAYERS:
            conv = nn.Conv1d(before, after, kernel, stride, kernel // 2, groups=groups)
            self.layers.append(Layer(conv, norm=norm))
            before = after
        self.output_conv = Layer(nn.Conv1d(before, 1, 3, padding=1), norm=norm, active=False)

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See :class:`~model_zoo.discriminators.contract.SubDiscriminator`."""
        slow = F.interpolate(wave, scale_factor=1 / self.rate, mode="linear", align_corners=False)
        features = run(self.layers, slow)
        return self.output_conv(features[-1]), features

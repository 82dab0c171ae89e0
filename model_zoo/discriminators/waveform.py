"""Discriminators of the waveform: HiFi-GAN's prime periods and MelGAN's lower sample rates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from model_zoo.discriminators.base import Discriminator, Layer, SubDiscriminator, conv2d, run

WIDTHS = (32, 128, 512, 1024, 1024)


class MultiPeriodDiscriminator(Discriminator):
    """Folds the waveform at several periods and looks along them.

    Args:
        nch: channels of the waveform.
        sample_rate: in Hz; kept for the record, nothing depends on it.
        periods: in samples; primes see different parts of the sound.
        norm: normalize weights by their spectral norm.
    """

    def __init__(
        self,
        nch: int = 1,
        sample_rate: int = 48_000,
        periods: Sequence[int] = (2, 3, 5, 7, 11),
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.discriminators = nn.ModuleList(
            PeriodDiscriminator(nch, period, norm) for period in periods
        )


class PeriodDiscriminator(SubDiscriminator):
    """The waveform as a picture, one period in each row; kernels look along the columns."""

    def __init__(self, nch: int, period: int, norm: bool) -> None:
        super().__init__()
        self.period = period
        # HiFi-GAN's last layer has stride 1; here all five have 3.
        self.layers = nn.ModuleList(
            conv2d(before, after, (5, 1), stride=(3, 1), padding=(2, 0), norm=norm)
            for before, after in pairwise((nch, *WIDTHS))
        )
        self.output_conv = conv2d(WIDTHS[-1], 1, (3, 1), padding=(1, 0), norm=norm, active=False)

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See :class:`~model_zoo.discriminators.base.SubDiscriminator`."""
        missing = -wave.shape[-1] % self.period
        whole = F.pad(wave, (0, missing), "reflect") if missing else wave
        features = run(self.layers, whole.reshape(*wave.shape[:2], -1, self.period))
        return self.output_conv(features[-1]), features


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
    """Receives the waveform at several sample rates.

    Args:
        sample_rate: in Hz; kept for the record, nothing depends on it.
        downsample_rates: factors by which the rate is lowered.
        nch: channels of the waveform.
        norm: normalize weights by their spectral norm.
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
        """See :class:`~model_zoo.discriminators.base.SubDiscriminator`."""
        slow = F.interpolate(wave, scale_factor=1 / self.rate, mode="linear", align_corners=False)
        features = run(self.layers, slow)
        return self.output_conv(features[-1]), features

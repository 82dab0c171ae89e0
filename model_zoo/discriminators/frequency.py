"""Views of the whole spectrum at several resolutions.

As in EnCodec (Défossez et al. 2022, arXiv 2210.13438).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from model_zoo.axes import Wave
from model_zoo.discriminators.contract import Discriminator, SubDiscriminator
from model_zoo.discriminators.layers import conv2d, run
from model_zoo.discriminators.spectrum import Spectrum

EPSILON = 1e-8
FULL_RATE = 48_000
"""Sample rate in Hz at which all bins are looked at; at a lower one only its share of them."""


class MultiFrequencyDiscriminator(Discriminator):
    """Looks at the complex spectrum in several resolutions, whatever the level of the sound.

    Args:
        nch: channels of the waveform.
        window_sizes: in samples; the hop is half of them.
        hidden_channels: of the first layer.
        sample_rate: in Hz.
        norm: normalise weights by their spectral norm, but for the last.
    """

    def __init__(
        self,
        nch: int,
        window_sizes: Sequence[int],
        hidden_channels: int = 8,
        sample_rate: int = 48_000,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            FrequencyDiscriminator(nch, window, hidden_channels, sample_rate, norm)
            for window in window_sizes
        )

    def prepare(self, wave: Wave) -> Wave:
        """Each item at unit energy over its channels and its length."""
        energy = wave.square().sum((-2, -1), keepdim=True)
        return wave / (energy + EPSILON).sqrt()


class FrequencyDiscriminator(SubDiscriminator):
    """One resolution; kernels grow along time by dilation, the picture shrinks along frequency."""

    def __init__(self, nch: int, window: int, hidden: int, sample_rate: int, norm: bool) -> None:
        super().__init__()
        self.spectrum = Spectrum(window, window // 2)
        self.bins = int((window // 2 + 1) * sample_rate / FULL_RATE)
        widths = [hidden * 2**step for step in range(6)]
        dilated = (
            conv2d(
                widths[step],
                widths[step + 1],
                (3, 9),
                stride=(1, 2),
                dilation=(2**step, 1),
                padding=(2**step, 4),
                norm=norm,
            )
            for step in range(3)
        )
        self.layers = nn.ModuleList(
            [
                conv2d(2 * nch, widths[0], (3, 9), padding=(1, 4), norm=norm),
                *dilated,
                conv2d(widths[3], widths[4], (3, 3), padding=1, norm=norm),
                conv2d(widths[4], widths[5], (3, 3), padding=1, norm=norm),
            ]
        )
        self.output_conv = conv2d(widths[5], 1, (3, 3), padding=1, norm=False, active=False)

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See :class:`~model_zoo.discriminators.contract.SubDiscriminator`."""
        features = run(self.layers, self.spectrum(wave)[..., : self.bins])
        return self.output_conv(features[-1]), features

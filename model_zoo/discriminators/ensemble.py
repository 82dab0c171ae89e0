"""Several discriminators that judge together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from torch import nn

from model_zoo.axes import Wave
from model_zoo.discriminators.contract import Discriminator, Verdict
from model_zoo.discriminators.frequency import MultiFrequencyDiscriminator
from model_zoo.discriminators.period import MultiPeriodDiscriminator
from model_zoo.discriminators.resolution import MultiResolutionDiscriminator
from model_zoo.discriminators.scale import MultiScaleDiscriminator
from model_zoo.errors import UnknownNameError

WINDOWS = (2048, 1024, 512)


class DiscriminatorEnsemble(Discriminator):
    """The verdicts of all members, one after the other.

    Args:
        members: any discriminators.
    """

    def __init__(self, members: Sequence[Discriminator]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, wave: Wave) -> Verdict:
        """See :class:`~model_zoo.discriminators.contract.Discriminator`."""
        verdicts: list[Verdict] = [member(wave) for member in self.members]
        scores = chain.from_iterable(verdict.scores for verdict in verdicts)
        features = chain.from_iterable(verdict.features for verdict in verdicts)
        return Verdict([*scores], [*features])


def _all(nch: int, sample_rate: int) -> list[Discriminator]:
    return [
        MultiPeriodDiscriminator(nch, sample_rate),
        MultiScaleDiscriminator(sample_rate, nch=nch),
        MultiResolutionDiscriminator(nch, sample_rate),
        *_msrkit(nch, sample_rate),
    ]


def _msrkit(nch: int, sample_rate: int) -> list[Discriminator]:
    return [MultiFrequencyDiscriminator(nch, WINDOWS, sample_rate=sample_rate)]


PRESETS: dict[str, Callable[[int, int], list[Discriminator]]] = {
    "ensemble": _all,
    "msrkit": _msrkit,
}
"""All four, and what the configuration of MSRKit trains with."""


def preset(name: str, nch: int = 1, sample_rate: int = 48_000) -> DiscriminatorEnsemble:
    """An ensemble by its name.

    Args:
        name: a key of :data:`PRESETS`.
        nch: channels of the waveform.
        sample_rate: in Hz.

    Raises:
        UnknownNameError: there is no such preset.
    """
    if name not in PRESETS:
        raise UnknownNameError("preset of discriminators", name, PRESETS)
    return DiscriminatorEnsemble(PRESETS[name](nch, sample_rate))

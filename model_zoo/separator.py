"""The contract of every architecture, and the path from mixture to stems of those on spectrograms.

A separator is an ``nn.Module`` that turns mixtures into stems and knows nothing of files, chunks
or devices: those belong to :mod:`stemcli.engine`. Any length at or above one analysis window goes
in, the same length comes out.

::

    mixture ─ STFT ─ spectrum ─ features ─▶ core ─ numbers ─ answer ─ spectra ─ inverse STFT ─ stems
                        └──────────────────────────────────────┘
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar, get_type_hints

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from model_zoo.axes import Stems, Wave
from model_zoo.blocks.auxiliary import HasAuxiliaryLoss
from model_zoo.blocks.spectral import Fourier
from model_zoo.config import Config, broken

S = TypeVar("S", bound="Separator")

Role = Literal["stems", "phase", "codes"]


@dataclass(frozen=True)
class SeparatorConfig(Config):
    """Base of the constructor arguments of every architecture.

    An architecture lists the arguments of its paper in their order; what we add to them is
    keyword-only.
    """


@dataclass(frozen=True)
class Documented:
    """A size of a network whose number of parameters is documented.

    Attributes:
        parameters: that number.
        arguments: of the constructor, in order.
        options: of the constructor, by name.
    """

    parameters: int
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sizes:
    """What has to be known to try any network.

    Attributes:
        small: options of a network that runs in milliseconds.
        several: what changes in them for three stems (where the role is to give stems) and for
            another number of audio channels, where a network may hear one or two at once.
        documented: large relatives, first the network whose options are all as usual.
    """

    small: Mapping[str, Any]
    several: Mapping[str, Any]
    documented: tuple[Documented, ...]


class Separator(nn.Module):
    """Base of every architecture.

    A subclass names its config class, calls ``super().__init__(*args, **kwargs)`` with the config's
    own arguments and then builds its parts from ``self.config``.

    Attributes:
        purpose: what the architecture is for, in a few words.
        sizes: with which it can be tried.
        auxiliary_loss_names: losses that the network finds in itself while it learns, see
            :meth:`auxiliary_losses`.
        needs_peak_level: whether a whole song has to be brought to a peak of 1 before it is heard
            in parts; whoever does so brings the stems back.
        weight_independent_options: options in which a network may differ from the one whose weights
            it starts from: no tensor depends on them, but for the rows that each of the ``stems``
            has.
        needs_float32: whether bfloat16 is too coarse for it: what comes out of a small one is less
            than 40 dB above the difference.
        prefers_channels_last: whether its convolutions run faster with features innermost in memory
            (``torch.channels_last``) where it only separates.
        role: what it gives: the stems of a mixture, or the same sound again, with a phase of its
            own or out of codes.
        config: the frozen values this network was built from.
        sample_rate: rate of the waveforms it takes and gives, in Hz.
        stems: names of what comes out, in order.
        channels: audio channels of one item; with 1 the engine folds channels into the batch.
        segment: length in samples that the network was trained on.
    """

    Config: ClassVar[type[SeparatorConfig]]
    purpose: ClassVar[str]
    sizes: ClassVar[Sizes]
    auxiliary_loss_names: ClassVar[tuple[str, ...]] = ()
    needs_peak_level: ClassVar[bool] = False
    weight_independent_options: ClassVar[tuple[str, ...]] = ("segment", "stems")
    needs_float32: ClassVar[bool] = False
    prefers_channels_last: ClassVar[bool] = False
    role: ClassVar[Role] = "stems"

    config: SeparatorConfig
    sample_rate: int
    stems: tuple[str, ...]
    channels: int
    segment: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.config = self.Config(*args, **kwargs)

    @classmethod
    def from_config(cls: type[S], config: SeparatorConfig) -> S:
        """Build from a config instance."""
        return cls(**config.to_dict())

    @property
    def core(self) -> nn.Module:
        """The exportable part: spectrogram features to mask or spectrum, without the STFT.

        It owns no tensors of its own, so the names in a checkpoint do not know of it.
        """
        raise NotImplementedError(f"{type(self).__name__} must name its core")

    def forward(self, mixture: Wave) -> Stems:
        """Separate ``mixture`` (float32, nominally in [-1, 1], at ``sample_rate``)."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward")

    def forward_core(self, features: Tensor) -> Tensor:
        """What the core makes of features: a trainer that needs no waves calls this."""
        return self.core(features)

    def auxiliary_losses(self) -> dict[str, Float[Tensor, ""]]:
        """What the last forward pass in training found wrong with the network itself.

        One number for each of ``auxiliary_loss_names``, or nothing before the first such pass; a
        recipe weighs them like other losses.
        """
        parts = [part for part in self.modules() if isinstance(part, HasAuxiliaryLoss)]
        return {name: loss for part in parts for name, loss in part.losses.items()}

    def after_optimizer_step(self) -> None:
        """Settle what was counted in a step, however many parts of a batch it had.

        A trainer calls it once after the weights have moved.
        """

    def diagnostics(self) -> dict[str, float]:
        """What there is to know of the network's own state, by name, for a log."""
        return {}

    def blocks(self) -> Iterator[nn.Module]:
        """The repeated parts, and the layers around them.

        A trainer may compile each on its own, or compute it again to save memory.
        """
        for child in self.children():
            yield from child.children()

    def parameter_count(self) -> int:
        """Number of trainable values."""
        return sum(parameter.numel() for parameter in self.parameters())


def as_wave(mixture: Tensor) -> Tensor:
    """Give the form ``batch time`` of mono networks the channel axis of the contract."""
    return mixture.unsqueeze(1) if mixture.ndim == 2 else mixture


Spectrum = Complex[Tensor, "batch channel freq frame"]
Spectra = Complex[Tensor, "batch stem channel freq frame"]


@dataclass(frozen=True, kw_only=True)
class SpectralConfig(SeparatorConfig):
    """Options that all architectures on spectrograms know beside their own.

    A subclass has ``window_size`` and ``hop_size`` in samples and ``sample_rate`` in Hz as well.

    Attributes:
        stems: names of the sources, in order.
        segment: length in samples the network is trained on.
    """

    stems: tuple[str, ...] = ("vocals",)
    segment: int = 409_600

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        rules = {
            "stems must name at least one source": not self.stems,
            "stems must not repeat a name": len({*self.stems}) < len(self.stems),
        }
        return [*_below_one(self), *_too_short(self), *broken(rules)]


class SpectralSeparator(Separator):
    """Base of architectures on spectrograms.

    A subclass sets :attr:`channels` and builds its network; it says what the network sees of a
    spectrum (:meth:`features`) and what its numbers mean (:meth:`answer`).
    """

    Config: ClassVar[type[SpectralConfig]]
    config: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.config
        self.sample_rate, self.segment, self.stems = (
            config.sample_rate,
            config.segment,
            config.stems,
        )
        self.fourier = Fourier(config.window_size, config.hop_size)

    @property
    def keeps_shape(self) -> bool:
        """Whether the core gives a number of any size for each one that it takes.

        Such a core can be trained on its own, to find what was laid over its features.
        """
        return False

    def forward(self, mixture: Wave) -> Stems:
        """Separate a batch of mixtures."""
        spectrum = self.spectrum(mixture)
        numbers = self.core(self.features(spectrum))
        return self.waves(self.answer(spectrum, numbers), mixture.shape[-1])

    def spectrum(self, mixture: Wave) -> Spectrum:
        """The spectrogram that the network works on."""
        return torch.view_as_complex(self.fourier.stft(mixture))

    def features(self, spectrum: Spectrum) -> Float[Tensor, "batch ..."]:
        """What the core takes."""
        raise NotImplementedError(f"{type(self).__name__} must say what its core sees")

    def answer(self, spectrum: Spectrum, numbers: Float[Tensor, "batch ..."]) -> Spectra:
        """What the core's numbers make of the spectrum."""
        raise NotImplementedError(f"{type(self).__name__} must say what its numbers mean")

    def waves(self, spectra: Spectra, length: int) -> Stems:
        """Waveforms of ``length`` samples."""
        return self.fourier.istft(torch.view_as_real(spectra), length)


def parts_of(network: nn.Module) -> Iterator[nn.Module]:
    """The children of a network; those in a list one by one."""
    for child in network.children():
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):
            yield from child.children()
        else:
            yield child


def _below_one(config: SpectralConfig) -> list[str]:
    """Every field of these configs for whole numbers is a size or a count."""
    kinds = get_type_hints(type(config))
    counts = [field.name for field in dataclasses.fields(config) if kinds[field.name] is int]
    values = {name: getattr(config, name) for name in counts}
    return [
        f"{name} must be at least 1, found {value}" for name, value in values.items() if value < 1
    ]


def _too_short(config: Any) -> Iterator[str]:
    """Frames must overlap to be undone, and a segment must hold a frame.

    The lengths are fields of each architecture, in the order of its arguments.
    """
    if config.hop_size >= config.window_size:
        yield f"hop_size must be below window_size={config.window_size}, found {config.hop_size}"
    if config.segment < config.window_size:
        yield f"segment must be window_size={config.window_size} or more, found {config.segment}"

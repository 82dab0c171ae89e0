"""The contract of every architecture, and the way from mixture to stems through spectrograms.

A separator is an ``nn.Module`` that turns mixtures into stems. Files, chunks and devices belong to
:mod:`stemcli.engine`. A mixture may have any length from one analysis window upwards, and its stems
have the same length.

An architecture on spectrograms is composed of two modules: a front end around the STFT and a core,
which is the network itself. :meth:`SpectralSeparator.forward` is the same for all of them::

    mixture ─ analyze ─ spectrum ─ features ─▶ core ─ output ─ apply_output ─ synthesize ─▶ stems
                           └──────────────────────────────────────┘
"""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, get_type_hints

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from model_zoo.axes import MonoWave, Stems, Wave
from model_zoo.blocks.auxiliary import HasAuxiliaryLoss
from model_zoo.blocks.spectral import Fourier
from model_zoo.config import Config, broken
from model_zoo.grids import Grid, Level

S = TypeVar("S", bound="Separator")

Role = Literal["stems", "phase", "codes"]

CoreFunction = Callable[..., Tensor | tuple[Tensor, ...]]
"""Takes the inputs of a core and returns its outputs."""


@dataclass(frozen=True)
class SeparatorConfig(Config):
    """Base of the constructor arguments of every architecture.

    An architecture lists the arguments of its paper in their order; options that we add to them are
    keyword-only.
    """


class Separator(nn.Module):
    """Base of every architecture.

    A subclass names its config class, calls ``super().__init__(*args, **kwargs)`` with the config's
    own arguments and then builds its parts from ``self.config``.

    Attributes:
        purpose: purpose of the architecture in a few words.
        documented_parameters: number of trainable values with default options, so that a list of
            architectures need not build them.
        small_options: options of a network that runs in milliseconds. The recipe ``tune-NAME`` is
            made from them where no file of that name exists.
        auxiliary_loss_names: names of the losses that :meth:`auxiliary_losses` returns.
        grid: how a song is cut into chunks and how these are joined.
        level: what a song as a whole is brought to before its chunks are separated; the caller
            brings the stems back.
        adds_up: whether what the stems lack to the mixture may be spread over them. Stems of public
            networks stay as their authors' programs give them.
        weight_independent_options: options that may differ when a network starts from the weights
            of another: no tensor depends on them, except for rows that belong to one of ``stems``.
        needs_float32: whether bfloat16 is too coarse: it leaves less than 40 dB between the output
            of a small network and its error.
        prefers_channels_last: whether inference is faster with ``torch.channels_last``.
        core_has_fixed_length: whether an exported core takes mixtures of one segment only. Sizes
            inside a hybrid network depend on the length in more than one way.
        role: kind of output: the stems of a mixture (``"stems"``), or the same sound again with a
            predicted phase (``"phase"``) or decoded from codes (``"codes"``).
        config: the frozen options that this network was built from.
        sample_rate: sample rate of mixtures and stems in Hz.
        stems: names of the stems, in the order of the output.
        channels: audio channels of one item; with 1 the engine folds channels into the batch.
        segment: length in samples that the network was trained on.
    """

    Config: ClassVar[type[SeparatorConfig]]
    purpose: ClassVar[str]
    documented_parameters: ClassVar[int]
    small_options: ClassVar[Mapping[str, Any]]
    auxiliary_loss_names: ClassVar[tuple[str, ...]] = ()
    grid: ClassVar[Grid] = "centered"
    level: ClassVar[Level] = "any"
    adds_up: ClassVar[bool] = True
    weight_independent_options: ClassVar[tuple[str, ...]] = ("segment", "stems")
    needs_float32: ClassVar[bool] = False
    prefers_channels_last: ClassVar[bool] = False
    role: ClassVar[Role] = "stems"
    core_has_fixed_length: ClassVar[bool] = False

    config: SeparatorConfig
    sample_rate: int
    stems: tuple[str, ...]
    channels: int
    segment: int

    _replaced_core: CoreFunction | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.config = self.Config(*args, **kwargs)

    @classmethod
    def from_config(cls: type[S], config: SeparatorConfig) -> S:
        """Build from a config instance."""
        return cls(**config.to_dict())

    @property
    def core(self) -> nn.Module:
        """The exportable part, without the STFT: spectrogram features to a mask or a spectrum.

        Hybrid networks take the standardized waveform too, and output waveforms too.

        All its tensors are registered elsewhere in the separator, so tensor names in checkpoints
        do not contain ``core``.
        """
        raise NotImplementedError(f"{type(self).__name__} must name its core")

    def forward(self, mixture: Wave | MonoWave) -> Stems | MonoWave:
        """Separate ``mixture`` (float32, nominally in [-1, 1], at ``sample_rate``)."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward")

    def run_core(self, *inputs: Tensor) -> Any:
        """Output of the core, or of the function that :meth:`use_core` put in its place."""
        return (self._replaced_core or self.core)(*inputs)

    def use_core(self, core: CoreFunction | None) -> None:
        """Let another library compute the core.

        Args:
            core: takes the inputs of the core and returns its outputs; None for the network itself.
        """
        # Past nn.Module, which would register a module among the parts of the network.
        object.__setattr__(self, "_replaced_core", core)

    def core_texts(self) -> dict[str, str]:
        """What the inputs of the core are, and how its output gives stems, for other programs."""
        return {}

    def forward_core(self, features: Tensor) -> Tensor:
        """Output of the core for ``features``, for training objectives that need no waveforms.

        A method of the separator, because a sharded network gathers its weights when one of its own
        methods is called.
        """
        return self.core(features)

    def auxiliary_losses(self) -> dict[str, Float[Tensor, ""]]:
        """Losses that the network computed from its own state in its last training forward pass.

        One value for each of ``auxiliary_loss_names``, or an empty dict before the first such pass.
        Recipes weigh them like other losses.
        """
        parts = [part for part in self.modules() if isinstance(part, HasAuxiliaryLoss)]
        return {name: loss for part in parts for name, loss in part.losses.items()}

    def after_optimizer_step(self) -> None:
        """Update statistics that are counted per optimizer step rather than per forward pass."""

    def diagnostics(self) -> dict[str, float]:
        """Values for the training log that describe the state of the network, by name."""
        return {}

    def blocks(self) -> Iterator[nn.Module]:
        """Parts of the core that can be compiled, recomputed or sharded one by one."""
        return parts_of(self.core)

    def parameter_count(self) -> int:
        """Number of trainable values."""
        return sum(parameter.numel() for parameter in self.parameters())


def parts_of(network: nn.Module) -> Iterator[nn.Module]:
    """Children of a network; containers without a ``forward`` are replaced by their children."""
    for child in network.children():
        is_container = type(child).forward is nn.Module.forward
        yield from child.children() if is_container else (child,)


Spectrum = Complex[Tensor, "batch channel freq frame"]
Spectra = Complex[Tensor, "batch stem channel freq frame"]


class Frontend(Fourier, ABC):
    """Base of front ends: mixtures to features for a core, and its output to stems.

    Subclasses implement :meth:`features` and :meth:`apply_output`. Here a spectrogram is the STFT
    of the mixture as it is; subclasses may use other channels, bins or windows.

    Args:
        n_fft: window length in samples.
        hop_length: samples from one frame to the next.
    """

    def analyze(self, mixture: Wave | MonoWave) -> Spectrum:
        """Spectrogram of a mixture."""
        return torch.view_as_complex(self.stft(mixture))

    @abstractmethod
    def features(self, spectrum: Spectrum) -> Float[Tensor, "batch ..."]:
        """Input of the core."""

    @abstractmethod
    def apply_output(self, spectrum: Spectrum, output: Float[Tensor, "batch ..."]) -> Spectra:
        """Spectrograms of the stems: the core's output as masks of ``spectrum``, or in its place.

        (Not ``apply``: ``nn.Module`` has a method of that name.)
        """

    def synthesize(self, spectra: Spectra, mixture: Wave | MonoWave) -> Stems | MonoWave:
        """Waveforms of the stems, as long as the mixture."""
        return self.istft(torch.view_as_real(spectra), mixture.shape[-1])


@dataclass(frozen=True, kw_only=True)
class SpectralConfig(SeparatorConfig):
    """Options that all architectures on spectrograms have beside their own.

    Attributes:
        stems: names of the sources, in order.
        segment: length in samples the network is trained on.
    """

    stems: tuple[str, ...] = ("vocals",)
    segment: int = 409_600

    may_be_zero: ClassVar[tuple[str, ...]] = ()
    """Fields with whole numbers that may be below 1."""

    if TYPE_CHECKING:
        # Every architecture has a field for each of these three, in the order of its paper's
        # arguments; fields of this class would come before them.

        @property
        def window_size(self) -> int:
            """STFT window in samples."""

        @property
        def hop_size(self) -> int:
            """Samples between two frames."""

        @property
        def sample_rate(self) -> int:
            """Sample rate in Hz."""

    def mistakes(self) -> list[str]:
        """Contradictions between the options."""
        rules = {
            "stems must name at least one source": not self.stems,
            "stems must not repeat a name": len({*self.stems}) < len(self.stems),
        }
        return [*_below_one(self), *_too_short(self), *broken(rules)]


class SpectralSeparator(Separator):
    """Base of architectures on spectrograms.

    A subclass sets :attr:`fourier`, :attr:`network` and :attr:`channels`.

    Attributes:
        fourier: front end; its tensor is ``fourier.window``.
        network: the core, where :attr:`core` is not overridden.
    """

    Config: ClassVar[type[SpectralConfig]]
    config: SpectralConfig
    fourier: Frontend
    network: nn.Module

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sample_rate = self.config.sample_rate
        self.segment = self.config.segment
        self.stems = self.config.stems

    @property
    def core(self) -> nn.Module:
        """The network, which knows nothing of the STFT."""
        return self.network

    def core_texts(self) -> dict[str, str]:
        """What the input of the core is, and how its output gives stems."""
        return {
            "features": inspect.getdoc(self.fourier.features) or "",
            "output": inspect.getdoc(self.fourier.apply_output) or "",
        }

    @property
    def keeps_shape(self) -> bool:
        """Whether the core's output has the shape of its input and is not bounded.

        Such a core can be pretrained to estimate noise that was added to its features.
        """
        return False

    def forward(self, mixture: Wave | MonoWave) -> Stems | MonoWave:
        """Separate a batch of mixtures."""
        spectrum = self.fourier.analyze(mixture)
        output = self.run_core(self.fourier.features(spectrum))
        return self.fourier.synthesize(self.fourier.apply_output(spectrum, output), mixture)


def _below_one(config: SpectralConfig) -> list[str]:
    """Fields of these configs for whole numbers are sizes or counts, unless they may be 0."""
    kinds = get_type_hints(type(config))
    names = [field.name for field in dataclasses.fields(config)]
    counts = [name for name in names if kinds[name] is int and name not in config.may_be_zero]
    values = {name: getattr(config, name) for name in counts}
    return [
        f"{name} must be at least 1, found {value}" for name, value in values.items() if value < 1
    ]


def _too_short(config: SpectralConfig) -> Iterator[str]:
    """Frames must overlap for the STFT to be invertible, and a segment must hold one frame."""
    if config.hop_size >= config.window_size:
        yield f"hop_size must be below window_size={config.window_size}, found {config.hop_size}"
    if config.segment < config.window_size:
        yield f"segment must be window_size={config.window_size} or more, found {config.segment}"

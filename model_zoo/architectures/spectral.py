"""What architectures on spectrograms share: a spectrogram in, the stems' spectra out, waves back.

::

    mixture ─ STFT ─ spectrum ─ features ─▶ core ─ numbers ─ answer ─ spectra ─ inverse STFT ─ stems
                        └──────────────────────────────────────┘
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, get_type_hints

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from model_zoo.axes import Stems, Wave
from model_zoo.blocks.spectral import Fourier
from model_zoo.config import broken
from model_zoo.separator import Separator, SeparatorConfig

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

"""Songs with known stems that are never trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from model_zoo.errors import DecodeError
from trainers.data.files import find_stem, read_wave


@dataclass(frozen=True)
class ValidationTrack:
    """A mixture and its true stems, in the order in which the network names them."""

    name: str
    mixture: Float[Tensor, "channel time"]
    stems: Float[Tensor, "stem channel time"]


@dataclass(frozen=True)
class ValidationSong:
    """Where a validation track lies; it is read anew whenever it is needed.

    Attributes:
        name: of the song.
        mixture: its file.
        stems: a file for every stem of the network, in its order.
        sample_rate: that of the network, in Hz.
    """

    name: str
    mixture: Path
    stems: Mapping[str, Path]
    sample_rate: int

    @classmethod
    def of_folder(cls, folder: Path, stems: tuple[str, ...], sample_rate: int) -> ValidationSong:
        """A folder with ``mixture.*`` and one file for each of ``stems``.

        Raises:
            DecodeError: a file is missing.
        """
        mixture = find_stem(folder, "mixture")
        paths = {stem: find_stem(folder, stem) for stem in stems}
        return cls(folder.name, mixture, paths, sample_rate)

    def read(self) -> ValidationTrack:
        """Read all of it.

        Raises:
            DecodeError: a file is unreadable, does not have the network's sample rate, or is not
                as long as the others.
        """
        paths = [self.mixture, *self.stems.values()]
        waves = [self._wave(path) for path in paths]
        for path, wave in zip(paths, waves, strict=True):
            if wave.shape != waves[0].shape:
                raise DecodeError(
                    f"{path} and {paths[0]} differ in length or channels: "
                    "give stems that add up to their mixture."
                )
        return ValidationTrack(self.name, waves[0], torch.stack(waves[1:]))

    def _wave(self, path: Path) -> Tensor:
        wave, rate = read_wave(path)
        if rate != self.sample_rate:
            raise DecodeError(f"{path} is at {rate} Hz: convert it to {self.sample_rate} Hz.")
        return torch.from_numpy(wave.copy())

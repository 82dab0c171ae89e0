"""A public model for tests, and an importer that makes a small network of any files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from model_zoo.catalogue.remote_file import RemoteFile
from tests.model_zoo.small import small_network


@dataclass(frozen=True)
class FakePublic:
    """What a pull needs to know of an entry of the catalogue."""

    name: str
    files: tuple[RemoteFile, ...]
    licence: str = "MIT"
    licence_source: str = "its authors"
    consent: str = ""
    authors: str = "Ada"
    refusal: str = ""

    @property
    def downloads(self) -> tuple[RemoteFile, ...]:
        """All files."""
        return self.files


def install_small(model: FakePublic, paths: list[Path]) -> Card:
    """Install a small network, whose card says which files it was made of."""
    made_of = ", ".join(f"{path.name} of {path.stat().st_size:,} bytes" for path in paths)
    card = Card(model.name, "melrnn", stems=("vocals",), residual="band", source=made_of)
    return install(small_network(), card)

"""A run as it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainers.config import Recipe


@dataclass(frozen=True)
class Order:
    """One run, whoever does it. Where other machines do, its paths are absolute.

    Attributes:
        recipe: what to do.
        data: folder with what is learned from; None for songs made by formula.
        validation: folders with songs to be judged by.
        place: folder of the run.
        origin: model or weights file to start from.
        fsdp: whether each worker holds a part of the network.
    """

    recipe: Recipe
    data: Path | None
    validation: tuple[Path, ...]
    place: Path
    origin: str = ""
    fsdp: bool = False

    @property
    def paths(self) -> list[Path]:
        """What all machines have to see, besides the folder of the run."""
        origin = Path(self.origin)
        files = [origin] if origin.is_absolute() else []
        return [*([self.data] if self.data else []), *self.validation, *files]

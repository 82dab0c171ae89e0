"""What one step is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from model_zoo.axes import Stems, Wave


@dataclass(frozen=True)
class Batch:
    """Mixtures and the stems they were mixed from."""

    mixture: Wave
    stems: Stems

    def split(self, parts: int) -> Iterator[Batch]:
        """Cut into ``parts`` of equal size, which must divide the batch."""
        pairs = zip(self.mixture.chunk(parts), self.stems.chunk(parts), strict=True)
        return (Batch(mixture, stems) for mixture, stems in pairs)

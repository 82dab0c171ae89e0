"""Sound that is the same at every validation, which is the larger half of it."""

from __future__ import annotations

import hashlib

from trainers.loop.logbook.protocol import Clip


class Repeats:
    """Knows of every name what was written last: mixtures and true stems need be stored once."""

    def __init__(self) -> None:
        self._last: dict[str, bytes] = {}

    def is_new(self, name: str, wave: Clip) -> bool:
        """Whether the sound called ``name`` is another than the last time."""
        digest = hashlib.sha256(wave.tobytes()).digest()
        is_new = self._last.get(name) != digest
        self._last[name] = digest
        return is_new

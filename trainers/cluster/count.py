"""How many workers a run has, as ``--workers`` says it, and how long they are awaited; no Ray."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from model_zoo.errors import UsageError

WAIT = 30.0
"""Seconds for machines to come, unless ``--wait`` says otherwise."""


@dataclass(frozen=True)
class WorkerCount:
    """As ``--workers`` says it: the run needs ``least`` and takes up to ``most`` workers."""

    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.least}" if self.least == self.most else f"{self.least}:{self.most}"

    @property
    def is_elastic(self) -> bool:
        """Whether workers may come and go."""
        return self.least < self.most

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``N`` or ``MIN:MAX``.

        Raises:
            UsageError: it is neither, below 1, or begins with the larger number.
        """
        found = re.fullmatch(r"\s*(\d+)\s*(?::\s*(\d+)\s*)?", text, re.ASCII)
        if not found:
            raise UsageError(
                f"--workers {text} is no number of workers. Type a number, such as --workers 4, or "
                "the least and the most, such as --workers 2:8"
            )
        least = int(found[1])
        most = int(found[2] or least)
        if least < 1:
            raise UsageError(f"--workers {text} asks for no worker. Type --workers 1 or more")
        if most < least:
            raise UsageError(
                f"--workers {text} begins with the larger number. Type --workers {most}:{least}"
                if most
                else f"--workers {text} allows no worker. Type --workers {least}"
            )
        return cls(least, most)

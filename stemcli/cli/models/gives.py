"""What networks give, in the words of a list and of a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model_zoo.separator import Role

USES: dict[Role, str] = {
    "stems": "the stems of a song, after --model",
    "phase": "the same sound with a phase of its own, after --phase-model",
    "codes": "the same sound out of codes",
}

WITHOUT_STEMS: dict[Role, str] = {"phase": "a phase", "codes": "codes"}

AFTER_PHASE_MODEL = (
    "What gives a phase is typed after --phase-model, what gives stems after --model"
)


def given(role: Role, stems: Sequence[str]) -> str:
    """The stems by name, or what there is instead of stems."""
    return WITHOUT_STEMS.get(role, ", ".join(stems))

"""The zoo as a shelf: whether weights are there, whether they are whole, and away with them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_zoo.card import Card, card_path, is_bundled
from model_zoo.errors import OutputError, UsageError, WeightsError
from model_zoo.plain import read_toml


@dataclass(frozen=True)
class State:
    """One model: where its weights lie, or one sentence about what is wrong with them."""

    name: str
    path: str
    problem: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``ok`` says whether nothing is wrong."""
        return {**asdict(self), "ok": not self.problem}


def is_installed(card: Card) -> bool:
    """Whether the file is there, by name and size; :func:`state` reads it too."""
    if not card.file:
        return False
    path = card_path(card.name).with_name(card.file)
    return path.is_file() and path.stat().st_size == card.size


def state(card: Card) -> State:
    """Compare the weights with the card."""
    from model_zoo.weights import verify

    try:
        return State(card.name, str(verify(card)), "")
    except WeightsError as error:
        return State(card.name, "", str(error))


def remove(name: str) -> list[Path]:
    """Delete a model of the user's, also one whose card is damaged; return what was deleted.

    Raises:
        UnknownNameError: there is no such model.
        UsageError: it came with the program.
        OutputError: the file system refuses.
    """
    card = card_path(name)
    if is_bundled(name):
        raise UsageError(f"{name!r} came with stem and stays. Yours are in: stem models list")
    files = [path for path in (_weights_named_by(card), card) if path.is_file()]
    try:
        for path in files:
            path.unlink()
    except OSError as error:
        raise OutputError(f"Cannot remove {error.filename} ({error.strerror})") from error
    return files


def _weights_named_by(card: Path) -> Path:
    """Only ever a file beside the card, whatever a damaged card says."""
    try:
        file = str(read_toml(card)["file"])
    except (KeyError, OSError, ValueError):
        file = ""
    return card.with_name(Path(file).name or f"{card.stem}.safetensors")

"""Names of outputs: stems that models share, derived stems, and the choice of the user.

A block of stems is ``(frames, stem, channel)``, a block of the mixture ``(frames, channel)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from model_zoo import registry
from model_zoo.catalogue.cards import DEFAULT_MODEL, cards
from model_zoo.catalogue.stem_names import BACKING, spelled
from model_zoo.catalogue.unknown import unknown_stem
from model_zoo.errors import ConfigError, errors_about
from model_zoo.option_names import setting, subject
from stemcli.engine.overlap_add import Block

KARAOKE = "karaoke"
"""Name of the song to sing to: without its lead voice, or without all vocals."""

LEAD = "lead_vocals"
VOCALS = "vocals"


def complete(stems: Block, mixture: Block, *, residual: bool) -> Block:
    """Make a full set of stems add up to the mixture.

    Args:
        stems: estimates of the network.
        mixture: input of the network.
        residual: whether to append the rest of the mixture as a stem. If not, the rest is spread
            evenly over the stems; a single stem stays unchanged.
    """
    # One subtraction per stem: NumPy sums over a short inner axis several times slower.
    missing = reduce(np.subtract, stems.transpose(1, 0, 2), mixture)
    if residual:
        return np.concatenate([stems, missing[:, None]], axis=1)
    count = stems.shape[1]
    return stems + missing[:, None] / np.float32(count) if count > 1 else stems


def shared_stems(outputs: Sequence[tuple[str, Sequence[str]]]) -> tuple[str, ...]:
    """The stems that all models give, in the order of the first model.

    Args:
        outputs: name of each model and names of its stems.

    Raises:
        ConfigError: the models share no stem.
    """
    first, *others = (stems for _, stems in outputs)
    shared = tuple(stem for stem in first if all(stem in other for other in others))
    if not shared:
        lists = "; ".join(f"{model} gives {', '.join(stems)}" for model, stems in outputs)
        problem = f"the models share no stem ({lists}); choose other models"
        raise ConfigError("", [problem]).about("model")
    return shared


def resolve_stem(name: str, available: Sequence[str]) -> str:
    """The available stem called ``name``, in any case, or a synonym of it in :data:`BACKING`.

    Raises:
        UnknownNameError: there is no such stem; the message names models that give it.
    """
    found = spelled(name, available)
    if found is None:
        raise unknown_stem(name, available, _models_that_give(name))
    return found


def _models_that_give(stem: str) -> list[str]:
    return [
        card.name
        for card in cards(lambda damaged: None).values()
        if registry.role(card.architecture) == "stems" and spelled(stem, card.outputs)
    ]


@dataclass(frozen=True)
class Selection:
    """The outputs to keep from a full set of stems.

    Attributes:
        names: names of the outputs.
        picks: indices into the full set.
        complement: whether the rest of the mixture is appended as the last output.
        rest_only: whether that is the only output.
    """

    names: tuple[str, ...]
    picks: tuple[int, ...]
    complement: bool = False
    rest_only: bool = False

    def apply(self, stems: Block, mixture: Block) -> Block:
        """The selected outputs ``(frames, output, channel)``."""
        picked = stems[:, list(self.picks)]
        outputs = complete(picked, mixture, residual=True) if self.complement else picked
        return outputs[:, -1:] if self.rest_only else outputs


def select(
    available: Sequence[str],
    stems: Sequence[str] = (),
    two_stems: str = "",
    karaoke: bool = False,
) -> Selection:
    """Choose outputs by name, or by a synonym in :data:`BACKING`.

    Args:
        available: names of all stems, in order.
        stems: names of the stems to keep; all if empty.
        two_stems: one stem to keep with its complement. If there are exactly two stems, the
            complement has the name of the other one, else ``no_<stem>``.
        karaoke: whether to keep only the song without its lead voice, or else without vocals.

    Raises:
        UnknownNameError: a stem does not exist.
        ConfigError: a stem is named twice, or there is no voice to leave out.
    """
    if karaoke:
        return _karaoke(available)
    with errors_about("two_stems"):
        two_stems = resolve_stem(two_stems, available) if two_stems else ""
    named = (two_stems,) if two_stems else tuple(stems) or tuple(available)
    with errors_about("stems"):
        selected = tuple(resolve_stem(name, available) for name in named)
    if len({*selected}) < len(selected):
        raise ConfigError(
            subject("stems"), [f"{', '.join(named)} name one stem twice; name it once"]
        )
    picks = tuple(available.index(name) for name in selected)
    if not two_stems:
        return Selection(selected, picks)
    rest = [name for name in available if name != two_stems]
    other = rest[0] if len(rest) == 1 else f"no_{two_stems}"
    return Selection((two_stems, other), picks, complement=True)


def _karaoke(available: Sequence[str]) -> Selection:
    """The song to sing to, under one name whatever the model calls it.

    With a lead voice among the stems, backing vocals are kept. A stem that a network was trained to
    give is taken as it is; otherwise it is the mixture without the voice.

    Raises:
        ConfigError: there is no voice to leave out.
    """
    by_folded = {stem.casefold(): index for index, stem in enumerate(available)}
    for own, voice in (((KARAOKE,), LEAD), (BACKING, VOCALS)):
        found = next((by_folded[name] for name in own if name in by_folded), None)
        if found is not None:
            return Selection((KARAOKE,), (found,))
        if voice in by_folded:
            return Selection((KARAOKE,), (by_folded[voice],), complement=True, rest_only=True)
    problem = f"it needs a model that gives {VOCALS}, found {', '.join(available)}"
    advice = f"use e.g. {setting(model=DEFAULT_MODEL)}"
    raise ConfigError(subject("karaoke"), [f"{problem}; {advice}"]).about("karaoke")

"""Averages the stems of several networks, and derives residual and summed stems.

A block of stems is ``(frames, stem, channel)``, a block of the mixture ``(frames, channel)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch

from model_zoo import registry
from model_zoo.catalogue.cards import cards
from model_zoo.catalogue.unknown import unknown_stem
from model_zoo.errors import ConfigError, errors_about
from model_zoo.grids import Level
from model_zoo.option_names import subject
from stemcli.engine.chunks import ChunkPlan, plan_chunks
from stemcli.engine.device import Precision, resolve_precision
from stemcli.engine.models import LoadedModel, require_role
from stemcli.engine.options import Options
from stemcli.engine.overlap_add import Block
from stemcli.engine.runner import ModelRunner

BACKING = ("instrumental", "accompaniment", "no_vocals")
"""Names for the song without its vocals; a model has at most one of them."""


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
    by_folded = {stem.casefold(): stem for stem in available}
    for spelling in _spellings(name):
        if spelling in by_folded:
            return by_folded[spelling]
    raise unknown_stem(name, available, _models_that_give(name))


def _spellings(name: str) -> tuple[str, ...]:
    folded = name.casefold()
    return (folded, *(BACKING if folded in BACKING else ()))


def _models_that_give(stem: str) -> list[str]:
    spellings = _spellings(stem)
    return [
        card.name
        for card in cards(lambda damaged: None).values()
        if registry.architecture(card.architecture).role == "stems"
        and any(output.casefold() in spellings for output in card.outputs)
    ]


@dataclass(frozen=True)
class Selection:
    """The outputs to keep from a full set of stems.

    Attributes:
        names: names of the outputs.
        picks: indices into the full set.
        complement: whether the rest of the mixture is appended as the last output.
    """

    names: tuple[str, ...]
    picks: tuple[int, ...]
    complement: bool = False

    def apply(self, stems: Block, mixture: Block) -> Block:
        """The selected outputs ``(frames, output, channel)``."""
        picked = stems[:, list(self.picks)]
        return complete(picked, mixture, residual=True) if self.complement else picked


def select(available: Sequence[str], stems: Sequence[str] = (), two_stems: str = "") -> Selection:
    """Choose outputs by name, or by a synonym in :data:`BACKING`.

    Args:
        available: names of all stems, in order.
        stems: names of the stems to keep; all if empty.
        two_stems: one stem to keep with its complement. If there are exactly two stems, the
            complement has the name of the other one, else ``no_<stem>``.

    Raises:
        UnknownNameError: a stem does not exist.
        ConfigError: a stem is named twice.
    """
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


BATCHES = {"cpu": 1, "mps": 2, "cuda": 8}
"""Default number of chunks per forward pass; one chunk keeps a CPU busy."""


STEREO = 2
"""Channels that one forward pass covers; songs with more channels take several passes."""


@dataclass(frozen=True)
class EnsembleMember:
    """One network of an ensemble.

    Attributes:
        runner: the network on its device.
        plan: how the song is cut into chunks.
        level: level of the whole song that the network needs.
        residual: whether the mixture minus the stems is an output too.
        adds_up: whether what the stems lack to the mixture is spread over them.
        shared: indices of the outputs that all members have.
        precision: numeric precision of the network.
    """

    runner: ModelRunner
    plan: ChunkPlan
    level: Level
    residual: bool
    adds_up: bool
    shared: tuple[int, ...]
    precision: Precision

    def outputs(self, stems: Block, mixture: Block) -> Block:
        """The shared outputs, from a full set; it adds up to the mixture where it should."""
        if self.residual or self.adds_up:
            stems = complete(stems, mixture, residual=self.residual)
        return stems[:, list(self.shared)]


@dataclass(frozen=True)
class Ensemble:
    """Networks that are ready to run, and the outputs to derive from them.

    Attributes:
        name: names of the models joined by ``+``.
        members: one for each model.
        selection: outputs to keep.
        batch: chunks per forward pass.
        device: where all members run.
        phase: network that predicts the phase of every stem; None if there is none.
    """

    name: str
    members: tuple[EnsembleMember, ...]
    selection: Selection
    batch: int
    device: torch.device
    phase: EnsembleMember | None = None

    @property
    def all(self) -> tuple[EnsembleMember, ...]:
        """The members, and the phase network if there is one."""
        return (*self.members, *((self.phase,) if self.phase else ()))

    @property
    def needs_level(self) -> bool:
        """Whether any network needs the level of the whole song."""
        return any(member.level != "any" for member in self.all)

    def outputs(self, estimates: Sequence[Block], mixture: Block) -> Block:
        """The selected outputs ``(frames, output, channel)``: the mean over the members.

        Args:
            estimates: of each member, ``(frames, stem, channel)`` at the rate of the mixture.
            mixture: ``(frames, channel)``.
        """
        pairs = zip(self.members, estimates, strict=True)
        total = reduce(np.add, (member.outputs(stems, mixture) for member, stems in pairs))
        return self.selection.apply(total / np.float32(len(self.members)), mixture)


def assemble(
    models: Sequence[LoadedModel],
    options: Options,
    device: torch.device,
    phase_model: LoadedModel | None = None,
) -> Ensemble:
    """Put models on a device and plan their chunks.

    Args:
        models: the models to average.
        options: choices of the user.
        device: where all networks run.
        phase_model: model that predicts the phase of the stems.

    Raises:
        UsageError: a model does not have the role that it is used in.
        ConfigError: the models share no stem.
        UnknownNameError: a requested stem does not exist.
    """
    for typed, model in zip(options.model, models, strict=True):
        require_role(typed, model.separator.role, "stems")
    if phase_model:
        require_role(options.phase_model, phase_model.separator.role, "phase")
    shared = shared_stems([(model.name, model.outputs) for model in models])
    selection = select(shared, options.stems, options.two_stems)
    batch = options.batch_size or BATCHES[device.type]

    def member(model: LoadedModel, outputs: Sequence[str]) -> EnsembleMember:
        separator = model.separator
        precision = resolve_precision(options.precision, device, separator.needs_float32)
        items = batch * max(1, STEREO // separator.channels)
        network = ModelRunner(separator, device, precision, largest=items)
        indices = tuple(model.outputs.index(stem) for stem in outputs)
        plan = _plan(model, options)
        return EnsembleMember(
            network,
            plan,
            level=model.level,
            residual=bool(model.residual),
            adds_up=separator.adds_up,
            shared=indices,
            precision=precision,
        )

    members = tuple(member(model, shared) for model in models)
    phase = member(phase_model, phase_model.outputs) if phase_model else None
    name = "+".join(model.name for model in models)
    return Ensemble(name, members, selection, batch, device, phase)


def _plan(model: LoadedModel, options: Options) -> ChunkPlan:
    network = model.separator
    length = round(options.segment * network.sample_rate) if options.segment else network.segment
    overlap = model.overlap if options.overlap is None else options.overlap
    grid = model.grid if options.grid == "model" else options.grid
    return plan_chunks(length, overlap, options.shifts, options.seed, grid)

"""Averages the stems of several networks, and derives residual and summed stems.

A block of stems is ``(frames, stem, channel)``, a block of the mixture ``(frames, channel)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch

from model_zoo.errors import ConfigError, UnknownNameError
from stemcli.engine.buffer import Block
from stemcli.engine.device import Precision, resolve_precision
from stemcli.engine.models import LoadedModel, require_role
from stemcli.engine.options import Options
from stemcli.engine.overlap_add import ChunkPlan, plan_chunks
from stemcli.engine.runner import ModelRunner

SYNONYMS = {"accompaniment": "instrumental", "instrumental": "accompaniment"}
"""Names of one stem, the song without its vocals, of which a model has one or the other."""


def complete(stems: Block, mixture: Block, *, residual: bool) -> Block:
    """Make a full set of stems add up to the mixture.

    Args:
        stems: what the network gave.
        mixture: what it heard.
        residual: whether the rest of the mixture is a stem of its own, put last. If not, what is
            missing is spread evenly over the stems; a single stem is no set and stays as it is.
    """
    # One subtraction per stem: NumPy sums over a short inner axis several times slower.
    missing = reduce(np.subtract, stems.transpose(1, 0, 2), mixture)
    if residual:
        return np.concatenate([stems, missing[:, None]], axis=1)
    count = stems.shape[1]
    return stems + missing[:, None] / np.float32(count) if count > 1 else stems


def shared_stems(outputs: Sequence[tuple[str, Sequence[str]]]) -> tuple[str, ...]:
    """The stems that all models give, in the order of the first.

    Args:
        outputs: name of each model and names of its stems.

    Raises:
        ConfigError: when there are none.
    """
    first, *others = (stems for _, stems in outputs)
    shared = tuple(stem for stem in first if all(stem in other for other in others))
    if not shared:
        lists = "; ".join(f"{model} gives {', '.join(stems)}" for model, stems in outputs)
        raise ConfigError("Ensemble", [f"the models share no stem ({lists}): name others"])
    return shared


def resolve_stem(name: str, available: Sequence[str]) -> str:
    """The stem that is called ``name``, here or in other programs.

    Raises:
        UnknownNameError: there is none.
    """
    for known in (name, SYNONYMS.get(name, name)):
        if known in available:
            return known
    raise UnknownNameError("stem", name, available)


@dataclass(frozen=True)
class Selection:
    """Which stems of a full set are wanted.

    Attributes:
        names: of the outputs.
        picks: indices into the full set.
        complement: whether the rest of the mixture follows as the last output.
    """

    names: tuple[str, ...]
    picks: tuple[int, ...]
    complement: bool = False

    def apply(self, stems: Block, mixture: Block) -> Block:
        """The wanted stems ``(frames, output, channel)``."""
        wanted = stems[:, list(self.picks)]
        return complete(wanted, mixture, residual=True) if self.complement else wanted


def select(available: Sequence[str], stems: Sequence[str] = (), two_stems: str = "") -> Selection:
    """Choose outputs by name, or by another name in :data:`SYNONYMS`.

    Args:
        available: the stems there are, in order.
        stems: those that are wanted, all when empty.
        two_stems: one stem to be given with its complement. The complement has the name of the
            other stem where there are exactly two, else ``no_<stem>``.

    Raises:
        UnknownNameError: for a stem that there is not.
        ConfigError: for a stem that is named twice.
    """
    two_stems = resolve_stem(two_stems, available) if two_stems else ""
    named = (two_stems,) if two_stems else tuple(stems) or tuple(available)
    wanted = tuple(resolve_stem(name, available) for name in named)
    if len({*wanted}) < len(wanted):
        raise ConfigError("--stems", [f"{', '.join(named)} name one stem twice: name it once"])
    picks = tuple(available.index(name) for name in wanted)
    if not two_stems:
        return Selection(wanted, picks)
    rest = [name for name in available if name != two_stems]
    other = rest[0] if len(rest) == 1 else f"no_{two_stems}"
    return Selection((two_stems, other), picks, complement=True)


BATCHES = {"cpu": 1, "mps": 2, "cuda": 8}
"""Chunks in one pass where the user names no number; a CPU is busy with one."""


STEREO = 2
"""Channels of a song whose chunks are computed in one pass; those of more take several."""


@dataclass(frozen=True)
class EnsembleMember:
    """One network of an ensemble.

    Attributes:
        runner: what runs.
        plan: how the song is cut for it.
        needs_peak_level: whether it hears the whole song brought to a peak of 1.
        residual: whether the mixture minus its stems is an output too.
        shared: indices of the outputs that all members have.
        precision: in which arithmetic it runs.
    """

    runner: ModelRunner
    plan: ChunkPlan
    needs_peak_level: bool
    residual: bool
    shared: tuple[int, ...]
    precision: Precision

    def outputs(self, stems: Block, mixture: Block) -> Block:
        """The shared outputs, of a set that adds up to the mixture."""
        return complete(stems, mixture, residual=self.residual)[:, list(self.shared)]


@dataclass(frozen=True)
class Ensemble:
    """Networks, ready to run, and the outputs wanted from them.

    Attributes:
        name: names of the models joined by ``+``.
        members: one for each model.
        selection: which outputs are wanted.
        batch: chunks in one pass.
        device: where all members run.
        phase: what gives a phase of its own to every stem of every member, if anything does.
    """

    name: str
    members: tuple[EnsembleMember, ...]
    selection: Selection
    batch: int
    device: torch.device
    phase: EnsembleMember | None = None

    @property
    def all(self) -> tuple[EnsembleMember, ...]:
        """The members, and what gives phases."""
        return (*self.members, *((self.phase,) if self.phase else ()))

    @property
    def needs_peak_level(self) -> bool:
        """Whether anything that runs needs the peak of the whole song."""
        return any(member.needs_peak_level for member in self.all)

    def outputs(self, estimates: Sequence[Block], mixture: Block) -> Block:
        """The wanted outputs ``(frames, output, channel)``: the mean over the members.

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
    """Put models on a device and lay out their chunks.

    Args:
        models: what separates.
        options: what the user chose.
        device: where everything runs.
        phase_model: what gives phases to their stems.

    Raises:
        UsageError: for a network that is none of the kind asked for.
        ConfigError: when the models share no stem.
        UnknownNameError: for a stem they do not give.
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
        places = tuple(model.outputs.index(stem) for stem in outputs)
        plan = _plan(model, options)
        levelled, residual = separator.needs_peak_level, bool(model.residual)
        return EnsembleMember(network, plan, levelled, residual, places, precision)

    members = tuple(member(model, shared) for model in models)
    phase = member(phase_model, phase_model.outputs) if phase_model else None
    name = "+".join(model.name for model in models)
    return Ensemble(name, members, selection, batch, device, phase)


def _plan(model: LoadedModel, options: Options) -> ChunkPlan:
    network = model.separator
    length = round(options.segment * network.sample_rate) if options.segment else network.segment
    overlap = model.overlap if options.overlap is None else options.overlap
    return plan_chunks(length, overlap, options.shifts, options.seed)

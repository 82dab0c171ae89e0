"""One or several networks that separate a song together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch

from model_zoo.separator import Separator
from stemcli.engine.chunks import ChunkPlan, plan_chunks
from stemcli.engine.network import Network
from stemcli.engine.options import Options
from stemcli.engine.precision import Precision, resolve_precision
from stemcli.engine.roles import require_role
from stemcli.engine.stems import Selection, complete, select, shared_stems
from stemcli.engine.tape import Block

BATCHES = {"cpu": 1, "mps": 2, "cuda": 8}
"""Chunks in one pass where the user names no number; a CPU is busy with one."""


STEREO = 2
"""Channels of a song whose chunks are computed in one pass; those of more take several."""


@dataclass(frozen=True)
class Model:
    """A separator with what its card says of its use.

    Attributes:
        name: as the user typed it.
        separator: the network.
        residual: name of the mixture minus all stems; empty when the stems are a full set.
        overlap: fraction of a chunk that suits this model.
        sha256: of the file with its weights.
        better: names of models that separate most songs better.
    """

    name: str
    separator: Separator
    residual: str = ""
    overlap: float = 0.25
    sha256: str = ""
    better: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The stems of the network, and the residual."""
        return (*self.separator.stems, *((self.residual,) if self.residual else ()))


@dataclass(frozen=True)
class Member:
    """One network of an ensemble.

    Attributes:
        network: what runs.
        plan: how the song is cut for it.
        is_levelled: whether it hears the whole song brought to a peak of 1.
        residual: whether the mixture minus its stems is an output too.
        shared: indices of the outputs that all members have.
        precision: in which arithmetic it runs.
    """

    network: Network
    plan: ChunkPlan
    is_levelled: bool
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
    members: tuple[Member, ...]
    selection: Selection
    batch: int
    device: torch.device
    phase: Member | None = None

    @property
    def all(self) -> tuple[Member, ...]:
        """The members, and what gives phases."""
        return (*self.members, *((self.phase,) if self.phase else ()))

    @property
    def is_levelled(self) -> bool:
        """Whether anything that runs needs the peak of the whole song."""
        return any(member.is_levelled for member in self.all)

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
    models: Sequence[Model],
    options: Options,
    device: torch.device,
    phase_model: Model | None = None,
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

    def member(model: Model, outputs: Sequence[str]) -> Member:
        separator = model.separator
        precision = resolve_precision(options.precision, device, separator.needs_float32)
        items = batch * max(1, STEREO // separator.channels)
        network = Network(separator, device, precision, largest=items)
        places = tuple(model.outputs.index(stem) for stem in outputs)
        plan = _plan(model, options)
        levelled, residual = separator.is_levelled, bool(model.residual)
        return Member(network, plan, levelled, residual, places, precision)

    members = tuple(member(model, shared) for model in models)
    phase = member(phase_model, phase_model.outputs) if phase_model else None
    name = "+".join(model.name for model in models)
    return Ensemble(name, members, selection, batch, device, phase)


def _plan(model: Model, options: Options) -> ChunkPlan:
    network = model.separator
    length = round(options.segment * network.sample_rate) if options.segment else network.segment
    overlap = model.overlap if options.overlap is None else options.overlap
    return plan_chunks(length, overlap, options.shifts, options.seed)

"""Networks that are ready to run together, and how their stems become the outputs.

A block of stems is ``(frames, stem, channel)``, a block of the mixture ``(frames, channel)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from model_zoo.errors import ConfigError
from model_zoo.grids import Combination, Level
from model_zoo.option_names import setting, subject
from stemcli.engine.backends.base import BackendChoice
from stemcli.engine.backends.choice import choose_backend
from stemcli.engine.chunks import ChunkPlan, plan_chunks
from stemcli.engine.combine import Combiner, combiner
from stemcli.engine.device import Precision
from stemcli.engine.events import ModelLoaded
from stemcli.engine.members import Members, members_of
from stemcli.engine.models import LoadedModel, require_role
from stemcli.engine.options import Options
from stemcli.engine.overlap_add import Block
from stemcli.engine.runner import ModelRunner
from stemcli.engine.selection import Selection, complete, select, shared_stems

BATCHES = {"cpu": 1, "mps": 2, "cuda": 8}
"""Default number of chunks per forward pass; one chunk keeps a CPU busy."""


STEREO = 2
"""Channels that one forward pass covers; songs with more channels take several passes."""


@dataclass(frozen=True)
class EnsembleMember:
    """One network of an ensemble.

    Attributes:
        model: name of the model.
        better: names of models that separate most songs better.
        runner: the network on its device.
        plan: how the song is cut into chunks.
        level: level of the whole song that the network needs.
        residual: whether the mixture minus the stems is an output too.
        adds_up: whether what the stems lack to the mixture is spread over them.
        picks: index of its output for each stem of the ensemble; -1 for a stem that it lacks.
        precision: numeric precision of the network.
        backend: what computes it.
    """

    model: str
    better: tuple[str, ...]
    runner: ModelRunner
    plan: ChunkPlan
    level: Level
    residual: bool
    adds_up: bool
    picks: tuple[int, ...]
    precision: Precision
    backend: BackendChoice

    def loaded(self, device: torch.device) -> ModelLoaded:
        """The event that says that the network is on a device."""
        return ModelLoaded(
            self.model,
            str(device),
            self.precision.name,
            self.precision.reason,
            self.better,
            self.backend.name,
            self.backend.reason,
        )

    def outputs(self, stems: Block, mixture: Block) -> Block:
        """The stems of the ensemble, zeros for those that the network lacks.

        They are picked from a full set, which adds up to the mixture where it should.
        """
        if self.residual or self.adds_up:
            stems = complete(stems, mixture, residual=self.residual)
        picked = stems[:, list(self.picks)]
        picked[:, [pick < 0 for pick in self.picks]] = 0
        return picked


@dataclass(frozen=True)
class Ensemble:
    """Networks that are ready to run, and the outputs to derive from them.

    Attributes:
        name: names of the models joined by ``+``.
        members: one for each model that the outputs need.
        selection: outputs to keep.
        weights: ``(member, stem)``: how much each member counts in each stem.
        combination: how the members are combined.
        batch: chunks per forward pass.
        device: where all members run.
        phase: network that predicts the phase of every stem; None if there is none.
    """

    name: str
    members: tuple[EnsembleMember, ...]
    selection: Selection
    weights: NDArray[np.float32]
    combination: Combination
    batch: int
    device: torch.device
    phase: EnsembleMember | None = None

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.selection.names

    @property
    def all(self) -> tuple[EnsembleMember, ...]:
        """The members, and the phase network if there is one."""
        return (*self.members, *((self.phase,) if self.phase else ()))

    @property
    def needs_level(self) -> bool:
        """Whether any network needs the level of the whole song."""
        return any(member.level != "any" for member in self.all)

    def estimates(self, stems: Sequence[Block], mixture: Block) -> NDArray[np.float32]:
        """The stems of all members, ``(member, frames, stem, channel)``.

        Args:
            stems: of each member, ``(frames, stem, channel)`` at the rate of the mixture.
            mixture: ``(frames, channel)``.
        """
        pairs = zip(self.members, stems, strict=True)
        return np.stack([member.outputs(block, mixture) for member, block in pairs])

    def combiner(self, channels: int) -> Combiner:
        """What combines these estimates of a song."""
        return combiner(self.combination, self.weights, channels)


def assemble(
    models: Sequence[LoadedModel],
    options: Options,
    device: torch.device,
    phase_model: LoadedModel | None = None,
) -> Ensemble:
    """Put models on a device and plan their chunks.

    Args:
        models: the models to combine.
        options: choices of the user.
        device: where all networks run.
        phase_model: model that predicts the phase of the stems.

    Raises:
        UsageError: a model does not have the role that it is used in.
        ConfigError: the models share no stem.
        UnknownNameError: a requested stem does not exist.
    """
    chosen = members_of(options)
    for name, model in zip(chosen.models, models, strict=True):
        require_role(name, model.separator.role, "stems")
    if phase_model:
        require_role(options.phase_model, phase_model.separator.role, "phase")
    stems = chosen.stems or shared_stems([(model.name, model.outputs) for model in models])
    selection = select(stems, options.stems, options.two_stems, options.karaoke)
    weights = _weights(models, stems, chosen)
    _require_weights(weights, selection, chosen, stems)
    is_needed = np.any(weights[:, list(selection.picks)], axis=1)
    batch = options.batch_size or BATCHES[device.type]
    needed = [model for index, model in enumerate(models) if is_needed[index]]
    put = partial(_member, options=options, device=device, batch=batch)
    members = tuple(put(model, stems) for model in needed)
    phase = put(phase_model, phase_model.outputs) if phase_model else None
    name = chosen.name or "+".join(model.name for model in models)
    return Ensemble(
        name,
        members,
        selection,
        weights[is_needed],
        chosen.combine,
        batch,
        device,
        phase,
    )


def _member(
    model: LoadedModel,
    stems: Sequence[str],
    *,
    options: Options,
    device: torch.device,
    batch: int,
) -> EnsembleMember:
    """Put one model on a device and plan its chunks."""
    separator = model.separator
    backend, precision = choose_backend(
        options.backend, options.precision, device, model.sha256, separator.needs_float32
    )
    items = batch * max(1, STEREO // separator.channels)
    positions = {stem: index for index, stem in enumerate(model.outputs)}
    return EnsembleMember(
        model.name,
        model.better,
        ModelRunner(
            *(separator, device, precision),
            largest=items,
            backend=backend.name,
            sha256=model.sha256,
        ),
        _plan(model, options),
        level=model.level,
        residual=bool(model.residual),
        adds_up=separator.adds_up,
        picks=tuple(positions.get(stem, -1) for stem in stems),
        precision=precision,
        backend=backend,
    )


def _weights(
    models: Sequence[LoadedModel], stems: Sequence[str], chosen: Members
) -> NDArray[np.float32]:
    """Weight of every model in every stem; 0 in stems that a model lacks."""
    gives = np.array([[stem in model.outputs for stem in stems] for model in models])
    return np.array(chosen.weights or np.ones((len(models), 1)), np.float32) * gives


def _require_weights(
    weights: NDArray[np.float32], selection: Selection, chosen: Members, stems: Sequence[str]
) -> None:
    """Refuse a stem that no member gives."""
    for pick in selection.picks:
        if not weights[:, pick].any():
            names = ", ".join(chosen.models)
            problem = f"no model of {names} gives {stems[pick]}"
            raise ConfigError(subject("model", chosen.name), [problem])


def _plan(model: LoadedModel, options: Options) -> ChunkPlan:
    network = model.separator
    length = round(options.segment * network.sample_rate) if options.segment else network.segment
    overlap = model.overlap if options.overlap is None else options.overlap
    grid = model.grid if options.grid == "model" else options.grid
    if grid == "htdemucs" and length > network.segment:  # demucs refuses that, too
        trained = network.segment / network.sample_rate
        problem = f"{model.name} was trained on {trained:g} s; its chunks cannot be longer"
        raise ConfigError(setting(segment=options.segment), [problem])
    return plan_chunks(length, overlap, options.shifts, options.seed, grid)

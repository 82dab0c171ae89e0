"""Runs the networks of a workflow one after the other on the same stream.

::

    mixture ─▶ step 1 ─┬─ vocals ─▶ step 2 ─┬─ lead ──────▶
                       └─ instrumental ─────┼─────────────▶   as long as the slowest
                                            └─ backing ───▶

Every step gets its input block by block, as soon as the step before it has final frames, so a
workflow needs the memory of its chunks, and no files between its steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from stemcli.engine.ensemble import Ensemble, EnsembleMember
from stemcli.engine.level import FULL_SCALE, SongLevel
from stemcli.engine.overlap_add import Block, SlidingBuffer
from stemcli.engine.stream import SeparationStream
from stemcli.engine.workflow import MIXTURE, Workflow, WorkflowStep


@dataclass(frozen=True)
class ModelChain:
    """The networks of a workflow, ready to run.

    Attributes:
        name: name of the workflow.
        workflow: its steps.
        ensembles: the networks of each step.
    """

    name: str
    workflow: Workflow
    ensembles: tuple[Ensemble, ...]

    @property
    def all(self) -> tuple[EnsembleMember, ...]:
        """All networks."""
        return tuple(member for each in self.ensembles for member in each.all)

    @property
    def needs_level(self) -> bool:
        """Whether any network needs the level of the whole song."""
        return any(each.needs_level for each in self.ensembles)

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.workflow.stems


class ChainStream:
    """Separates one song by a workflow, block by block.

    Args:
        chain: the networks.
        sample_rate: of the song, in Hz.
        channels: of the song.
        level: of the whole song; steps on stems take it for that of their input.
    """

    def __init__(
        self, chain: ModelChain, sample_rate: int, channels: int, level: SongLevel = FULL_SCALE
    ) -> None:
        self._steps = [
            (step, SeparationStream(ensemble, sample_rate, channels, level))
            for step, ensemble in zip(chain.workflow.steps, chain.ensembles, strict=True)
        ]
        self._kept = {name: SlidingBuffer(channels) for name in chain.stems}

    @property
    def buffered(self) -> int:
        """Frames in memory; bounded by the chunks, independent of the length of the song."""
        streams = sum(stream.buffered for _, stream in self._steps)
        return streams + sum(map(len, self._kept.values()))

    def pass_through(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Separate a whole song block by block."""
        yield from map(self.push, blocks)
        yield self.finish()

    def push(self, block: Block) -> Block:
        """Take the next frames of the mixture and return the output frames that are final."""
        inputs = {MIXTURE: block}
        for step, stream in self._steps:
            self._keep(step, stream.push(inputs[step.input]), inputs)
        return self._take()

    def finish(self) -> Block:
        """Return the remaining frames; in total as many as were pushed."""
        inputs: dict[str, Block] = {}
        for step, stream in self._steps:
            last = [stream.push(inputs[step.input])] if step.input in inputs else []
            self._keep(step, np.concatenate([*last, stream.finish()]), inputs)
        return self._take()

    def _keep(self, step: WorkflowStep, stems: Block, inputs: dict[str, Block]) -> None:
        for index, name in enumerate(step.names):
            inputs[name] = stems[:, index]
            if name in self._kept:
                self._kept[name].append(inputs[name])

    def _take(self) -> Block:
        frames = min(map(len, self._kept.values()))
        return np.stack([kept.take(frames) for kept in self._kept.values()], axis=1)


Networks = Ensemble | ModelChain
"""What a session runs: networks that are combined, or those of a workflow."""


def open_stream(
    networks: Networks, sample_rate: int, channels: int, level: SongLevel = FULL_SCALE
) -> SeparationStream | ChainStream:
    """Begin a song.

    Args:
        networks: the networks.
        sample_rate: of the song, in Hz.
        channels: of the song.
        level: of the whole song; only used if the networks need it.
    """
    if isinstance(networks, ModelChain):
        return ChainStream(networks, sample_rate, channels, level)
    return SeparationStream(networks, sample_rate, channels, level)

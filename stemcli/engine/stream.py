"""Streams a song through an ensemble block by block, with only a few chunks in memory.

::

    mixture ─┬─ resample ─ overlap-add ─ resample back ─┐
             ├─ resample ─ overlap-add ─ resample back ─┼─ full sets ─ combine ─ selection ─▶ stems
             └─ wait until all have caught up ──────────┘

If there is a phase network, every stem goes through it between a member's overlap-add and its
resampling back, in the same way: it is resampled if the rates differ, cut into chunks and
resampled back. A member that needs the whole song at a certain level gets the mixture at that
level, and its stems are brought back to the level of the song.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from einops import rearrange

from stemcli.audio.resample import Resampler
from stemcli.engine.ensemble import Ensemble, EnsembleMember
from stemcli.engine.level import FULL_SCALE, SongLevel
from stemcli.engine.overlap_add import Block, OverlapAdd, SlidingBuffer


@dataclass(frozen=True)
class StreamSpec:
    """Properties of a stream that must be known in advance.

    Attributes:
        sample_rate: in Hz.
        channels: of every frame.
        level: of the whole song.
        batch: chunks per forward pass.
    """

    sample_rate: int
    channels: int
    level: SongLevel
    batch: int


class MemberStream:
    """Runs one network at the sample rate of the song.

    Takes mixture blocks ``(frames, channel)`` and returns stem blocks ``(frames, stem, channel)``.

    Args:
        member: the network and its chunk plan.
        spec: properties of the mixture.
        phase: network that predicts the phase of the stems; None if there is none.
    """

    def __init__(
        self, member: EnsembleMember, spec: StreamSpec, phase: EnsembleMember | None = None
    ) -> None:
        network, channels = member.runner, spec.channels
        self._stems = len(network.stems)
        self._ratio = network.sample_rate / spec.sample_rate
        self._change = spec.level.change(member.level)
        self._down = Resampler(spec.sample_rate, network.sample_rate, channels)
        self._chunks = OverlapAdd(network, member.plan, channels, spec.batch)
        inside = replace(spec, sample_rate=network.sample_rate)
        self._phases = (
            PhaseStage(phase, self._stems, inside) if phase else NoPhaseStage(self._stems, channels)
        )
        self._up = Resampler(network.sample_rate, spec.sample_rate, self._stems * channels)
        self.estimates = SlidingBuffer(self._stems, channels)

    @property
    def buffered(self) -> int:
        """Frames in memory, at any rate."""
        return self._chunks.buffered + self._phases.buffered + len(self.estimates)

    def push(self, block: Block) -> None:
        """Take the next frames; final frames are appended to ``estimates``."""
        self._separate(self._down.push(self._change.apply(block)))

    def finish(self, frames: int) -> None:
        """Finish a song of ``frames``; afterwards as many frames were appended to ``estimates``."""
        inside = ceil(frames * self._ratio)
        self._separate(self._down.finish(inside))
        self._predict_phases(self._chunks.finish())
        self._resample(self._phases.finish(inside))
        self._append(self._up.finish(frames))

    def _separate(self, block: Block) -> None:
        self._predict_phases(self._chunks.push(block))

    def _predict_phases(self, stems: Block) -> None:
        self._resample(self._phases.push(self._change.undo(stems)))

    def _resample(self, stems: Block) -> None:
        flat = rearrange(stems, "time stem channel -> time (stem channel)")
        self._append(self._up.push(flat))

    def _append(self, flat: Block) -> None:
        stems = rearrange(flat, "time (stem channel) -> time stem channel", stem=self._stems)
        self.estimates.append(stems)


class PhaseStage:
    """Runs every stem through a network that predicts its phase.

    Args:
        phase: the network.
        stems: number of stems.
        spec: properties of each stem.
    """

    def __init__(self, phase: EnsembleMember, stems: int, spec: StreamSpec) -> None:
        self._streams = [MemberStream(phase, spec) for _ in range(stems)]

    @property
    def buffered(self) -> int:
        """Frames in memory."""
        return sum(stream.buffered for stream in self._streams)

    def push(self, stems: Block) -> Block:
        """Take the next frames ``(frames, stem, channel)`` and return those that are final."""
        for index, stream in enumerate(self._streams):
            stream.push(stems[:, index])
        return self._take()

    def finish(self, frames: int) -> Block:
        """Return the remaining frames of a song of ``frames``."""
        for stream in self._streams:
            stream.finish(frames)
        return self._take()

    def _take(self) -> Block:
        frames = min(len(stream.estimates) for stream in self._streams)
        return np.concatenate([stream.estimates.take(frames) for stream in self._streams], axis=1)


class NoPhaseStage:
    """Replaces :class:`PhaseStage` if stems keep their phase.

    Args:
        stems: number of stems.
        channels: of each stem.
    """

    buffered = 0

    def __init__(self, stems: int, channels: int) -> None:
        self._nothing: Block = np.zeros((0, stems, channels), np.float32)

    def push(self, stems: Block) -> Block:
        """Return the stems unchanged."""
        return stems

    def finish(self, frames: int) -> Block:
        """Return no frames, because none were kept."""
        return self._nothing


class SeparationStream:
    """Separates one song, from mixture blocks to blocks ``(frames, output, channel)``.

    Args:
        ensemble: the networks.
        sample_rate: of the song, in Hz.
        channels: of the song.
        level: of the whole song; only used if the ensemble needs it.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        sample_rate: int,
        channels: int,
        level: SongLevel = FULL_SCALE,
    ) -> None:
        self._ensemble = ensemble
        self._mixture = SlidingBuffer(channels)
        self._combiner = ensemble.combiner(channels)
        self._estimated = 0
        spec = StreamSpec(sample_rate, channels, level, ensemble.batch)
        self._streams = [MemberStream(member, spec, ensemble.phase) for member in ensemble.members]

    @property
    def buffered(self) -> int:
        """Frames in memory; bounded by the chunks, independent of the length of the song."""
        return len(self._mixture) + sum(stream.buffered for stream in self._streams)

    def pass_through(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Separate a whole song block by block."""
        yield from map(self.push, blocks)
        yield self.finish()

    def push(self, block: Block) -> Block:
        """Take the next frames of the mixture and return the output frames that are final."""
        self._mixture.append(block)
        for stream in self._streams:
            stream.push(block)
        return self._select(self._combine())

    def finish(self) -> Block:
        """Return the remaining frames; in total as many as were pushed."""
        for stream in self._streams:
            stream.finish(self._mixture.end)
        return self._select(np.concatenate([self._combine(), self._combiner.finish()]))

    def _combine(self) -> Block:
        """The combined stems that are final, of the frames that all members have estimated."""
        frames = min(len(stream.estimates) for stream in self._streams)
        stems = [stream.estimates.take(frames) for stream in self._streams]
        mixture = self._mixture.at(np.arange(frames) + self._estimated)
        self._estimated += frames
        return self._combiner.push(self._ensemble.estimates(stems, mixture))

    def _select(self, stems: Block) -> Block:
        return self._ensemble.selection.apply(stems, self._mixture.take(len(stems)))

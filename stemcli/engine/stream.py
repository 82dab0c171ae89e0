"""A song through an ensemble, block by block: at every moment only a few chunks are in memory.

::

    mixture ─┬─ resample ─ overlap-add ─ resample back ─┐
             ├─ resample ─ overlap-add ─ resample back ─┼─ full sets ─ mean ─ selection ─▶ stems
             └─ wait until all have caught up ──────────┘

Where a network gives phases, every stem goes through it between a member's overlap-add and the way
back, in the same manner: it is resampled where the rates differ, cut into chunks, and resampled.
A member that hears songs levelled gets the mixture over its peak; its stems are brought back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from einops import rearrange

from stemcli.audio.resample import Resampler
from stemcli.engine.buffer import Block, SlidingBuffer
from stemcli.engine.ensemble import Ensemble, EnsembleMember
from stemcli.engine.overlap_add import OverlapAdd


@dataclass(frozen=True)
class StreamSpec:
    """What has to be known of a sound before it is heard.

    Attributes:
        sample_rate: in Hz.
        channels: of every frame.
        peak: of the whole song that it is a part of; 0 where that is silent.
        batch: chunks in one pass.
    """

    sample_rate: int
    channels: int
    peak: float
    batch: int


class MemberStream:
    """One network heard at the song's own rate.

    Mixture blocks ``(frames, channel)`` in, stem blocks ``(frames, stem, channel)`` out.

    Args:
        member: the network and the chunks it takes.
        sound: what it will hear.
        phase: what gives phases to its stems, if anything does.
    """

    def __init__(
        self, member: EnsembleMember, sound: StreamSpec, phase: EnsembleMember | None = None
    ) -> None:
        network, channels = member.runner, sound.channels
        self._stems = len(network.stems)
        self._ratio = network.sample_rate / sound.sample_rate
        self._level = np.float32(sound.peak if member.needs_peak_level and sound.peak else 1.0)
        self._down = Resampler(sound.sample_rate, network.sample_rate, channels)
        self._chunks = OverlapAdd(network, member.plan, channels, sound.batch)
        inside = replace(sound, sample_rate=network.sample_rate)
        self._phases = (
            PhaseStage(phase, self._stems, inside) if phase else NoPhaseStage(self._stems, channels)
        )
        self._up = Resampler(network.sample_rate, sound.sample_rate, self._stems * channels)
        self.estimates = SlidingBuffer(self._stems, channels)

    @property
    def buffered(self) -> int:
        """Frames held, at any rate."""
        return self._chunks.buffered + self._phases.buffered + len(self.estimates)

    def push(self, block: Block) -> None:
        """Hear the next frames; what is final is appended to ``estimates``."""
        self._hear(self._down.push(block / self._level))

    def finish(self, frames: int) -> None:
        """Hear the end of a song of ``frames``; as many will have been given then."""
        heard = ceil(frames * self._ratio)
        self._hear(self._down.finish(heard))
        self._pass_on(self._chunks.finish())
        self._give(self._phases.finish(heard))
        self._append(self._up.finish(frames))

    def _hear(self, block: Block) -> None:
        self._pass_on(self._chunks.push(block))

    def _pass_on(self, stems: Block) -> None:
        self._give(self._phases.push(stems * self._level))

    def _give(self, stems: Block) -> None:
        flat = rearrange(stems, "time stem channel -> time (stem channel)")
        self._append(self._up.push(flat))

    def _append(self, flat: Block) -> None:
        stems = rearrange(flat, "time (stem channel) -> time stem channel", stem=self._stems)
        self.estimates.append(stems)


class PhaseStage:
    """Stems through a network that gives each of them a phase of its own.

    Args:
        phase: the network.
        stems: how many.
        sound: what each of them is.
    """

    def __init__(self, phase: EnsembleMember, stems: int, sound: StreamSpec) -> None:
        self._streams = [MemberStream(phase, sound) for _ in range(stems)]

    @property
    def buffered(self) -> int:
        """Frames held."""
        return sum(stream.buffered for stream in self._streams)

    def push(self, stems: Block) -> Block:
        """Hear the next frames ``(frames, stem, channel)``, give those that are final."""
        for index, stream in enumerate(self._streams):
            stream.push(stems[:, index])
        return self._take()

    def finish(self, frames: int) -> Block:
        """Give all that is left of ``frames``."""
        for stream in self._streams:
            stream.finish(frames)
        return self._take()

    def _take(self) -> Block:
        frames = min(len(stream.estimates) for stream in self._streams)
        return np.concatenate([stream.estimates.take(frames) for stream in self._streams], axis=1)


class NoPhaseStage:
    """The same for stems that keep the phase they have.

    Args:
        stems: how many.
        channels: of each.
    """

    buffered = 0

    def __init__(self, stems: int, channels: int) -> None:
        self._nothing: Block = np.zeros((0, stems, channels), np.float32)

    def push(self, stems: Block) -> Block:
        """Give them back."""
        return stems

    def finish(self, frames: int) -> Block:
        """There is nothing left."""
        return self._nothing


class SeparationStream:
    """One song being separated: mixture blocks in, blocks ``(frames, output, channel)`` out.

    Args:
        ensemble: what separates.
        sample_rate: of the song, in Hz.
        channels: of the song.
        peak: of the whole song; an ensemble that is not levelled needs none.
    """

    def __init__(
        self, ensemble: Ensemble, sample_rate: int, channels: int, peak: float = 1.0
    ) -> None:
        self._ensemble = ensemble
        self._mixture = SlidingBuffer(channels)
        sound = StreamSpec(sample_rate, channels, peak, ensemble.batch)
        self._streams = [MemberStream(member, sound, ensemble.phase) for member in ensemble.members]

    @property
    def buffered(self) -> int:
        """Frames held; bounded by the chunks, whatever the length of the song."""
        return len(self._mixture) + sum(stream.buffered for stream in self._streams)

    def pass_through(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Hear a whole song block by block, and give its outputs the same way."""
        yield from map(self.push, blocks)
        yield self.finish()

    def push(self, block: Block) -> Block:
        """Hear the next frames of the mixture, give those of the outputs that are final."""
        self._mixture.append(block)
        for stream in self._streams:
            stream.push(block)
        return self._take()

    def finish(self) -> Block:
        """Give all that is left; as many frames have come out then as went in."""
        for stream in self._streams:
            stream.finish(self._mixture.end)
        return self._take()

    def _take(self) -> Block:
        frames = min(len(stream.estimates) for stream in self._streams)
        estimates = [stream.estimates.take(frames) for stream in self._streams]
        return self._ensemble.outputs(estimates, self._mixture.take(frames))

"""A song through an ensemble, block by block: at every moment only a few chunks are in memory.

::

    mixture ─┬─ resample ─ overlap-add ─ resample back ─┐
             ├─ resample ─ overlap-add ─ resample back ─┼─ full sets ─ mean ─ selection ─▶ stems
             └─ wait until all have caught up ──────────┘
"""

from __future__ import annotations

from math import ceil

from einops import rearrange

from stemcli.audio.resample import Resampler
from stemcli.engine.ensemble import Ensemble, Member
from stemcli.engine.overlap_add import OverlapAdd
from stemcli.engine.tape import Block, Tape


class MemberStream:
    """One network heard at the song's own rate.

    Mixture blocks ``(frames, channel)`` in, stem blocks ``(frames, stem, channel)`` out.
    """

    def __init__(self, member: Member, sample_rate: int, channels: int, batch: int) -> None:
        network = member.network
        self._stems = len(network.stems)
        self._ratio = network.sample_rate / sample_rate
        self._down = Resampler(sample_rate, network.sample_rate, channels)
        self._chunks = OverlapAdd(network, member.plan, channels, batch)
        self._up = Resampler(network.sample_rate, sample_rate, self._stems * channels)
        self.estimates = Tape(self._stems, channels)

    @property
    def buffered(self) -> int:
        """Frames held, at either rate."""
        return self._chunks.buffered + len(self.estimates)

    def push(self, block: Block) -> None:
        """Hear the next frames; what is final is appended to ``estimates``."""
        self._give(self._up.push(self._flat(self._chunks.push(self._down.push(block)))))

    def finish(self, frames: int) -> None:
        """Hear the end of a song of ``frames``; as many will have been given then."""
        tail = self._chunks.push(self._down.finish(ceil(frames * self._ratio)))
        self._give(self._up.push(self._flat(tail)))
        self._give(self._up.push(self._flat(self._chunks.finish())))
        self._give(self._up.finish(frames))

    def _flat(self, stems: Block) -> Block:
        return rearrange(stems, "time stem channel -> time (stem channel)")

    def _give(self, flat: Block) -> None:
        stems = rearrange(flat, "time (stem channel) -> time stem channel", stem=self._stems)
        self.estimates.append(stems)


class Separation:
    """One song being separated: mixture blocks in, blocks ``(frames, output, channel)`` out."""

    def __init__(self, ensemble: Ensemble, sample_rate: int, channels: int) -> None:
        self._ensemble = ensemble
        self._mixture = Tape(channels)
        self._streams = [
            MemberStream(member, sample_rate, channels, ensemble.batch)
            for member in ensemble.members
        ]

    @property
    def buffered(self) -> int:
        """Frames held; bounded by the chunks, whatever the length of the song."""
        return len(self._mixture) + sum(stream.buffered for stream in self._streams)

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

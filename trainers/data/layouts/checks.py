"""What must hold inside a song."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from stemcli.audio.info import AudioInfo
from trainers.data.groups import Groups, missing_parts
from trainers.data.layouts.listing import MIXTURE, listed
from trainers.data.layouts.needs import WELL_KNOWN, hints
from trainers.data.songs import Song, Source

Headers = Mapping[Source, AudioInfo]

SLACK = 0.01
"""Seconds by which stems may differ: programs cut at their own blocks, and nobody hears it."""

PADDING = 4096
"""Samples that encoders may add: MP3 up to 1105 before and 1152 after, HE-AAC a frame of 2048 at
each end."""

LOSSLESS = frozenset(
    [
        *(".aif", ".aifc", ".aiff", ".alac", ".ape", ".au", ".caf", ".flac", ".snd", ".tta"),
        *(".w64", ".wav", ".wv"),
    ]
)
"""Endings of formats that keep the number of samples."""


def check_song(song: Song, headers: Headers) -> Iterator[str]:
    """A sentence for each file that does not go with the others; unread files are passed over."""
    known = [headers[source] for source in song.sources if source in headers]
    yield from _channel_problems(known)
    if song.is_made:
        return
    yield from _rate_problems(known)
    yield from _length_problems([info for info in known if info.frames])


def check_stems_of(
    song: Song,
    stems: tuple[str, ...],
    groups: Groups,
    missing: Literal["error", "silence"],
    *,
    is_named: bool = False,
) -> Iterator[str]:
    """A sentence for each stem that a song lacks.

    Args:
        song: one with several stems.
        stems: those of the network; none where the mixture is enough.
        groups: stems of the network that are sums of stems of the data.
        missing: ``silence`` allows them.
        is_named: whether it is a song of ``--validation``, which is of no use without any stem.
    """
    lacking = {stem: missing_parts(song, stem, groups) for stem in stems}
    if is_named and stems and all(lacking.values()):
        yield _nothing_to_judge(song, stems, groups)
        return
    if missing == "silence" or not stems:
        return
    for stem, parts in lacking.items():
        for part in parts:
            of = f" (part of {stem})" if part != stem else ""
            yield f"{place(song)} has no {part}{of}: add it, or type --set data.missing=silence"
    if len(song.stems) == 1 and song.mixture is None:
        only = next(iter(song.stems))
        yield f"{place(song)} has nothing but {only}: add the mixture or the other stems"


def _nothing_to_judge(song: Song, stems: tuple[str, ...], groups: Groups) -> str:
    flags = hints(stems, groups, song.stems.keys() & WELL_KNOWN)
    way = f"type {' '.join(flags)}" if flags else "add it, or name other songs with --validation"
    there = listed([*song.stems, *([MIXTURE] if song.mixture else [])])
    return f"{place(song)} has no {' or '.join(stems)}, found {there}: {way}"


def place(song: Song) -> str:
    """The folder of a song; its name, where it has none of its own."""
    parents = {source.path.parent for source in song.sources}
    own = parents.pop() if len(parents) == 1 else None
    return str(own) if own and own.name == song.name else f"song {song.name}"


def _channel_problems(infos: list[AudioInfo]) -> Iterator[str]:
    for info in {info.path: info for info in infos}.values():
        if info.channels > 2:
            yield f"{info.path} has {info.channels} channels: mix it down to 2"


def _rate_problems(infos: list[AudioInfo]) -> Iterator[str]:
    """Compare with the sample rate that most files have."""
    usual = _usual(infos, lambda info: info.sample_rate)
    for info in infos:
        if usual and info.sample_rate != usual.sample_rate:
            yield (
                f"{info.path} is at {info.sample_rate} Hz and {usual.path.name} at"
                f" {usual.sample_rate} Hz: convert it to {usual.sample_rate} Hz"
            )


def _length_problems(infos: list[AudioInfo]) -> Iterator[str]:
    """Compare with the length that most files have, which is exact in lossless ones."""
    ordered = sorted(infos, key=_is_lossy)
    usual = _usual(ordered, lambda info: info.seconds or 0)
    for info in infos:
        if usual and not _are_equal(info, usual):
            yield (
                f"{info.path} is {_length(info, usual)} long and {usual.path.name}"
                f" {_length(usual, info)}: cut or pad them to one length"
            )


def _usual(infos: list[AudioInfo], key: Callable[[AudioInfo], float]) -> AudioInfo | None:
    """The first file with the most frequent value; the mixture, where all differ."""
    counts = Counter(map(key, infos))
    return max(infos, key=lambda info: counts[key(info)], default=None)


def _are_equal(one: AudioInfo, other: AudioInfo) -> bool:
    slower = min(one.sample_rate, other.sample_rate)
    padding = PADDING if _is_lossy(one) or _is_lossy(other) else 0
    slack = round(SLACK * slower) + padding
    return abs((one.seconds or 0) - (other.seconds or 0)) * slower < slack + 0.5


def _is_lossy(info: AudioInfo) -> bool:
    return info.path.suffix.lower() not in LOSSLESS


def _length(info: AudioInfo, other: AudioInfo) -> str:
    """In samples where they can be compared, else in seconds."""
    if info.sample_rate == other.sample_rate:
        return f"{info.frames} samples"
    return f"{info.seconds:.2f} s"

"""Checks that the files of a song fit together and make the stems of the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Literal

from model_zoo.errors import ConfigError, nearest
from stemcli.audio.info import AudioInfo
from trainers.config import VoxaugRecipe
from trainers.data.layouts.listing import MIXTURE, listed
from trainers.data.tracks import Groups, Source, Track, missing_parts

WELL_KNOWN = frozenset(
    [
        *("accompaniment", "backing", "backing_vocals", "bass", "drums", "effects", "guitar"),
        *("instrumental", "keys", "lead_vocals", "music", "other", "percussion", "piano", "sfx"),
        *("speech", "strings", "synth", "vocals", "voice", "wind"),
    ]
)
"""Names that are stems rather than songs, whatever the network separates."""

RESTS = frozenset({"accompaniment", "backing", "instrumental", "music", "no_vocals", "other"})
"""Stems of networks that are the sum of whatever the others are not."""

VOICES = frozenset({"backing_vocals", "lead_vocals", "speech", "vocal", "vocals", "voice"})
"""Stems of data that are in no such rest, whether or not the network has them."""


def check_stems(stems: tuple[str, ...], groups: Groups, known: Set[str]) -> None:
    """Refuse a network whose stems the data does not have.

    Args:
        stems: those of the network.
        groups: stems of the network that are sums of stems of the data.
        known: the stems of the data.

    Raises:
        ConfigError: which stems are missing, what there is, and what to type.
    """
    mistakes = [
        f"the data has no {part}{f' for {stem}' if part != stem else ''}"
        for stem in stems
        for part in _lacking(stem, groups, known)
    ]
    if mistakes:
        flags = hints(stems, groups, known)
        there = f"found {listed(sorted(known)) or 'no stems'}"
        advice = f"Type {' '.join(flags)}" if flags else "Name stems of the data, or other data"
        raise ConfigError("stems of the network", [*mistakes, f"{there}. {advice}"])


def check_voxaug(chances: VoxaugRecipe, layout: str, *, has_libraries: bool) -> None:
    """Refuse chances below ``data.voxaug`` in a layout that has no use for them.

    Those that have their usual values say nothing, so a recipe with base ``voxaug`` may train on
    any layout.

    Args:
        chances: of the recipe.
        layout: of the data.
        has_libraries: whether the data could be read in the layout ``voxaug``.

    Raises:
        ConfigError: which they are, and what to type.
    """
    usual = VoxaugRecipe().to_dict()
    odd = {key: value for key, value in chances.to_dict().items() if value != usual[key]}
    if odd and layout != "voxaug":
        found = ", ".join(f"voxaug.{key}={value:g}" for key, value in odd.items())
        flags = " ".join(f"--set data.voxaug.{key}={usual[key]:g}" for key in odd)
        way = "--layout voxaug, or " if has_libraries else ""
        raise ConfigError(
            "data", [f"{found} means nothing in the layout {layout}. Type {way}{flags}"]
        )


def unused_groups(stems: tuple[str, ...], groups: Groups) -> list[str]:
    """A note for every group of a stem that the network does not have."""
    return [
        f"data.groups.{name} is not used: the network has {', '.join(stems)}"
        for name in groups
        if stems and name not in stems
    ]


def _lacking(stem: str, groups: Groups, known: Set[str]) -> list[str]:
    """Parts that nothing has, of a stem that nothing has as a whole either."""
    parts = groups.get(stem, (stem,))
    is_whole = stem in known and stem not in parts
    return [] if is_whole else [part for part in parts if part not in known]


def hints(stems: tuple[str, ...], groups: Groups, known: Set[str]) -> list[str]:
    """What to type: a group for every stem that resembles a known one, or is the rest of them."""
    used = {part for stem in stems for part in groups.get(stem, (stem,))}
    free = sorted(known - used)
    unknown = [stem for stem in stems if _lacking(stem, groups, known)]
    found = {stem: _group(stem, free) for stem in unknown}
    return [
        f"--set data.groups.{stem}=[{','.join(group)}]" for stem, group in found.items() if group
    ]


def _group(stem: str, free: list[str]) -> list[str]:
    near = nearest(stem, free)
    if near:
        return [near]
    return [name for name in free if name not in VOICES] if stem in RESTS else []


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


def check_song(song: Track, headers: Headers) -> Iterator[str]:
    """A sentence for each file that does not go with the others; unread files are passed over."""
    known = [headers[source] for source in song.sources if source in headers]
    yield from _channel_problems(known)
    if song.is_made:
        return
    yield from _rate_problems(known)
    yield from _length_problems([info for info in known if info.frames])


def check_stems_of(
    song: Track,
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


def _nothing_to_judge(song: Track, stems: tuple[str, ...], groups: Groups) -> str:
    flags = hints(stems, groups, song.stems.keys() & WELL_KNOWN)
    way = f"type {' '.join(flags)}" if flags else "add it, or name other songs with --validation"
    there = listed([*song.stems, *([MIXTURE] if song.mixture else [])])
    return f"{place(song)} has no {' or '.join(stems)}, found {there}: {way}"


def place(song: Track) -> str:
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

"""Checks that the files of a song fit together and provide the stems of the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
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
"""Names that always denote stems, never songs."""

RESTS = frozenset({"accompaniment", "backing", "instrumental", "music", "no_vocals", "other"})
"""Network stems that are the sum of everything that the other stems do not contain."""

VOICES = frozenset({"backing_vocals", "lead_vocals", "speech", "vocal", "vocals", "voice"})
"""Data stems that never belong to such a sum, even if the network does not have them."""


class MissingStemsError(ConfigError):
    """The data lacks stems of the network.

    Args:
        mistakes: one sentence each.
        known: stems of the data.
    """

    def __init__(self, mistakes: Iterable[str], known: Set[str]) -> None:
        super().__init__("stems of the network", mistakes)
        self.known = known


def check_stems(stems: tuple[str, ...], groups: Groups, known: Set[str]) -> None:
    """Check that the data has the stems of the network.

    Args:
        stems: stems of the network.
        groups: network stems that are sums of data stems.
        known: stems of the data.

    Raises:
        MissingStemsError: stems are missing; the message lists them and suggests options.
    """
    mistakes = [
        f"the data has no {part}{f' for {stem}' if part != stem else ''}"
        for stem in stems
        for part in _lacking(stem, groups, known)
    ]
    if mistakes:
        flags = hints(stems, groups, known)
        there = f"found {listed(sorted(known)) or 'no stems'}"
        advice = f"Use {' '.join(flags)}" if flags else "Choose stems of the data, or other data"
        raise MissingStemsError([*mistakes, f"{there}. {advice}"], known)


def check_voxaug(chances: VoxaugRecipe, layout: str, *, has_libraries: bool) -> None:
    """Check that options of ``data.voxaug`` are not set for a layout that ignores them.

    Default values are allowed, so that a recipe based on ``voxaug`` can train on any layout.

    Args:
        chances: section of the recipe.
        layout: layout of the data.
        has_libraries: whether the data could be read in the layout ``voxaug``.

    Raises:
        ConfigError: such options are set; the message suggests how to reset them.
    """
    usual = VoxaugRecipe().to_dict()
    odd = {key: value for key, value in chances.to_dict().items() if value != usual[key]}
    if odd and layout != "voxaug":
        found = ", ".join(f"voxaug.{key}={value:g}" for key, value in odd.items())
        flags = " ".join(f"--set data.voxaug.{key}={usual[key]:g}" for key in odd)
        way = "--layout voxaug, or " if has_libraries else ""
        raise ConfigError(
            "data", [f"{found} has no effect in the layout {layout}. Use {way}{flags}"]
        )


def unused_groups(stems: tuple[str, ...], groups: Groups) -> list[str]:
    """Return a note for every group that is not a stem of the network."""
    return [
        f"data.groups.{name} is not used: the network has {', '.join(stems)}"
        for name in groups
        if stems and name not in stems
    ]


def _lacking(stem: str, groups: Groups, known: Set[str]) -> list[str]:
    """Return the missing parts of a stem, unless the data has the stem as a whole."""
    parts = groups.get(stem, (stem,))
    is_whole = stem in known and stem not in parts
    return [] if is_whole else [part for part in parts if part not in known]


def hints(stems: tuple[str, ...], groups: Groups, known: Set[str]) -> list[str]:
    """Suggest a group for every missing stem that resembles a data stem or is the rest of them."""
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
"""Tolerated difference of stems in seconds: programs cut at block boundaries, inaudibly."""

PADDING = 4096
"""Samples that encoders may add: MP3 up to 1105 before and 1152 after, HE-AAC a frame of 2048 at
each end."""

LOSSLESS = frozenset(
    [
        *(".aif", ".aifc", ".aiff", ".alac", ".ape", ".au", ".caf", ".flac", ".snd", ".tta"),
        *(".w64", ".wav", ".wv"),
    ]
)
"""Suffixes of formats that keep the number of samples."""


def check_song(song: Track, headers: Headers) -> Iterator[str]:
    """Report files of a song that do not match, in one sentence each; skips unreadable files."""
    known = [headers[source] for source in song.sources if source in headers]
    yield from _channel_problems(known)
    if song.is_made:
        return
    yield from _rate_problems(known)
    yield from _length_problems([info for info in known if info.frames])


@dataclass(frozen=True)
class SongRules:
    """Stems that every song must have.

    Attributes:
        stems: stems of the network; empty if the mixture is enough.
        groups: network stems that are sums of data stems.
        missing: ``silence`` allows missing stems.
        misnamed: unusual names of stems in the data, and the stem that each probably is.
    """

    stems: tuple[str, ...]
    groups: Groups
    missing: Literal["error", "silence"] = "error"
    misnamed: Mapping[str, str] = field(default_factory=dict)


def check_stems_of(song: Track, rules: SongRules, *, is_named: bool = False) -> Iterator[str]:
    """Report stems that a song lacks, in one sentence each.

    Args:
        song: a song with several stems.
        rules: the stems that it must have.
        is_named: whether it is a song of ``--validation``, which needs at least one stem.
    """
    lacking = {stem: missing_parts(song, stem, rules.groups) for stem in rules.stems}
    if is_named and rules.stems and all(lacking.values()):
        yield _nothing_to_score(song, rules.stems, rules.groups)
        return
    if rules.missing == "silence" or not rules.stems:
        return
    for stem, parts in lacking.items():
        for part in parts:
            yield _lacks(song, part, stem, rules.misnamed)
    if len(song.stems) == 1 and song.mixture is None:
        only = next(iter(song.stems))
        yield f"{location(song)} has only {only}: add the mixture or the other stems"


def _lacks(song: Track, part: str, stem: str, misnamed: Mapping[str, str]) -> str:
    """Say that a song lacks a part of a network stem, or has it under another name."""
    of = f" (part of {stem})" if part != stem else ""
    odd = next((name for name in song.stems if misnamed.get(name) == part), None)
    if odd:
        return f"{location(song)} has {odd} and no {part}{of}: rename {odd} to {part}"
    return f"{location(song)} has no {part}{of}: add it, or use --set data.missing=silence"


def only_one_stem(stem: str) -> str:
    """Report single files of one stem without mixtures: the mixture would equal the target."""
    return (
        f"{stem} is the only stem, and there are no mixtures to separate it from: add a folder for"
        f" each other sound, e.g. {'other' if stem != 'other' else 'vocals'}/, or {MIXTURE}/ with a"
        f" mixture of the same name for each file in {stem}/"
    )


def _nothing_to_score(song: Track, stems: tuple[str, ...], groups: Groups) -> str:
    flags = hints(stems, groups, song.stems.keys() & WELL_KNOWN)
    way = f"use {' '.join(flags)}" if flags else "add it, or choose other songs with --validation"
    there = listed([*song.stems, *([MIXTURE] if song.mixture else [])])
    return f"{location(song)} has no {' or '.join(stems)}, found {there}: {way}"


def location(song: Track) -> str:
    """Return the folder of a song, or its name if it has no folder of its own."""
    parents = {source.path.parent for source in song.sources}
    own = parents.pop() if len(parents) == 1 else None
    return str(own) if own and own.name == song.name else f"song {song.name}"


def _channel_problems(infos: list[AudioInfo]) -> Iterator[str]:
    for info in {info.path: info for info in infos}.values():
        if info.channels > 2:
            yield f"{info.path} has {info.channels} channels: mix it down to 2"


def _rate_problems(infos: list[AudioInfo]) -> Iterator[str]:
    """Compare files with the most frequent sample rate."""
    usual = _usual(infos, lambda info: info.sample_rate)
    for info in infos:
        if usual and info.sample_rate != usual.sample_rate:
            yield (
                f"{info.path} is at {info.sample_rate} Hz and {usual.path.name} at"
                f" {usual.sample_rate} Hz: convert it to {usual.sample_rate} Hz"
            )


def _length_problems(infos: list[AudioInfo]) -> Iterator[str]:
    """Compare files with the most frequent length, preferring lossless files, which are exact."""
    ordered = sorted(infos, key=_is_lossy)
    usual = _usual(ordered, lambda info: info.seconds or 0)
    for info in infos:
        if usual and not _are_equal(info, usual):
            yield (
                f"{info.path} is {_length(info, usual)} long and {usual.path.name}"
                f" {_length(usual, info)}: cut or pad them to one length"
            )


def _usual(infos: list[AudioInfo], key: Callable[[AudioInfo], float]) -> AudioInfo | None:
    """Return the first file with the most frequent value; the mixture if all differ."""
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
    """Format a length in samples if sample rates are equal, else in seconds."""
    if info.sample_rate == other.sample_rate:
        return f"{info.frames} samples"
    return f"{info.seconds:.2f} s"

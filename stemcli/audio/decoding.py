"""Choose what decodes a file: libsndfile where it is right, ffmpeg for the rest."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

from model_zoo.errors import DecodeError, FfmpegMissingError
from stemcli.audio.chain import Chain
from stemcli.audio.coded_parts import coded_parts, with_a_broken_start
from stemcli.audio.container_parts import container_part
from stemcli.audio.decoder import Decoder
from stemcli.audio.ffmpeg_decoder import FfmpegDecoder
from stemcli.audio.file_bytes import FileBytes
from stemcli.audio.flac_parts import flac_behind_junk, flac_parts
from stemcli.audio.foreign_tags import end_of_tags, start_of_tags
from stemcli.audio.ogg_parts import ogg_parts
from stemcli.audio.other_files import other_file_kind, zeros_alone
from stemcli.audio.part import Part
from stemcli.audio.pcm_parts import pcm_parts
from stemcli.audio.soundfile_decoder import open_soundfile
from stemcli.audio.source import MALFORMED, RATES, impossible_rate, other_file, require_file
from stemcli.audio.tracks import no_track, only_track


def open_decoder(
    path: Path, stream: int | None = None, ended: threading.Event | None = None
) -> Decoder:
    """Open a sound file.

    Args:
        path: the file.
        stream: number of the sound track from 0; a film may have several. None for the default one.
        ended: makes reading end at once with a KeyboardInterrupt when it is set.

    Raises:
        DecodeError: it is not there, empty or not sound, its sample rate is impossible, or the
            sounds that follow each other in it have channels that do not fit each other.
        NoTrackError: it has no such sound track.
        FfmpegMissingError: only ffmpeg could read it, and there is none.
    """
    require_file(path)
    if kind := other_file_kind(path):
        raise other_file(path, kind)
    try:
        decoder = _choose(path, stream, ended)
    except (DecodeError, FfmpegMissingError) as error:
        if kind := zeros_alone(path):
            raise other_file(path, kind) from error
        raise
    rate = decoder.info.sample_rate
    if rate not in RATES:
        decoder.close()
        raise impossible_rate(path, rate)
    return decoder


def _choose(path: Path, stream: int | None, ended: threading.Event | None) -> Decoder:
    open_part = partial(_open_part, stream=stream, ended=ended)
    parts = sound_parts(path, stream or 0)
    if stream and not parts[0].muxer:
        _require_tracks(parts[0], stream)
        return FfmpegDecoder(_container(parts), stream, ended)
    if len(parts) == 1 and not parts[0].is_damage:
        return open_part(parts[0])
    return Chain(parts, open_part)


def _require_tracks(part: Part, stream: int) -> None:
    """Refuse a file that libsndfile reads, which has one sound track, without ffmpeg.

    Raises:
        NoTrackError: it is such a file.
    """
    decoder = open_soundfile(part)
    if decoder:
        decoder.close()
        raise no_track(part.path, stream, [only_track(decoder.info.channels)])


def _container(parts: list[Part]) -> Part:
    """The file as its container was read, for one of its tracks."""
    return parts[0] if parts[0].is_walked else Part(parts[0].path)


def sound_parts(path: Path, track: int = 0) -> list[Part]:
    """Where the sound of a file lies: one part, or several that follow each other.

    A header whose numbers make no sense is left to the decoders, which say what is wrong.

    Args:
        path: the file.
        track: number of the sound track from 0, where the file has several.
    """
    try:
        return _sound_parts(path, track)
    except MALFORMED:
        return [Part(path)]


def _sound_parts(path: Path, track: int) -> list[Part]:
    with path.open("rb", buffering=0) as file:
        data = FileBytes(file)
        size = len(data)
        base = end_of_tags(data, 0, size)
        if base == size:
            return [Part(path)]
        found = _find(path, data, base, size, track)
        return found or [container_part(path, data, base, start_of_tags(data, base, size))]


def _find(path: Path, data: FileBytes, base: int, end: int, track: int) -> list[Part]:
    magic = data[base : base + 4]
    if magic == b"fLaC":
        return flac_parts(path, data, base, end)
    if magic == b"OggS":
        return ogg_parts(path, data, base, end, track)
    families = (pcm_parts, coded_parts, with_a_broken_start, flac_behind_junk)
    return next((found for find in families if (found := find(path, data, base, end))), [])


def _open_part(part: Part, stream: int | None, ended: threading.Event | None) -> Decoder:
    decoder = None if part.muxer else open_soundfile(part)
    return decoder or FfmpegDecoder(part, stream, ended)

"""Opening sound files for a moment, to see what they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from model_zoo.errors import AudioError
from stemcli.audio.ffmpeg_process import decoding_pool
from stemcli.audio.info import AudioInfo, probe
from trainers.data.songs import Song, Source

THREADS = 8
"""Files that are opened together: disks behind a network, and ffmpeg, let one wait."""


def read_headers(
    songs: Iterable[Song], known: Mapping[Source, AudioInfo]
) -> tuple[dict[Source, AudioInfo], list[str]]:
    """What the headers of all files say, and a problem for each that cannot be read.

    Args:
        songs: whose files are opened.
        known: headers that need not be read again.
    """
    wanted = dict.fromkeys(source for song in songs for source in song.sources)
    unread = [source for source in wanted if source not in known]
    with decoding_pool(THREADS) as pool:
        found = dict(zip(unread, pool.map(_read, unread), strict=True))
    headers = {source: info for source, info in found.items() if isinstance(info, AudioInfo)}
    problems = [problem for problem in found.values() if isinstance(problem, str)]
    return {**known, **headers}, problems


def _read(source: Source) -> AudioInfo | str:
    try:
        return probe(source.path, source.stream)
    except AudioError as error:
        return str(error)

"""What the containers that ffmpeg reads say of themselves: where they end, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stemcli.audio.asf_header import asf_extent
from stemcli.audio.avi_chunks import avi_extent
from stemcli.audio.extent import Extent
from stemcli.audio.file_bytes import FileBytes
from stemcli.audio.foreign_tags import begins_alike, end_of_tags
from stemcli.audio.matroska import matroska_extent
from stemcli.audio.mp4_header import mp4_extent
from stemcli.audio.packets import flv_extent, ts_extent
from stemcli.audio.part import ANOTHER, Part
from stemcli.audio.sample_counts import ape_extent, tta_extent, wavpack_extent

_FAMILIES: tuple[Callable[[FileBytes, int, int], Extent | None], ...] = (
    mp4_extent,
    matroska_extent,
    asf_extent,
    avi_extent,
    wavpack_extent,
    tta_extent,
    ape_extent,
    flv_extent,
    ts_extent,
)


def container_part(path: Path, data: FileBytes, start: int, end: int) -> Part:
    """The sound of a file in a container, or in whatever ffmpeg may find in it.

    Args:
        path: the file.
        data: its bytes.
        start: where it begins, behind tags.
        end: where it ends, before tags.
    """
    extent = next((found for find in _FAMILIES if (found := find(data, start, end))), None)
    is_whole = start == 0 and (extent.end if extent else end) == len(data)
    pieces = () if is_whole else ((start, extent.end if extent else end),)
    if extent is None:
        return Part(path, pieces)
    flaw = extent.flaw
    if not flaw and begins_alike(data, start, end_of_tags(data, extent.end, end)):
        flaw = ANOTHER
    is_cut = bool(extent.flaw) and extent.breaks_off
    return Part(path, pieces, frames=extent.frames, is_walked=True, flaw=flaw, breaks_off=is_cut)

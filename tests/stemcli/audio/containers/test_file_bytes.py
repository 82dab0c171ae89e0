"""Property: a file read through windows has the same bytes as the file itself."""

from __future__ import annotations

import os
import re
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemcli.audio.containers import part
from stemcli.audio.containers.part import FileBytes
from stemcli.audio.reader import sound_parts
from tests.audio_files import ffmpeg, noisy_tones, tones, write_audio

_FEW_LETTERS = st.lists(st.sampled_from(b"ab\0"), max_size=100).map(bytes)


@contextmanager
def opened(content: bytes) -> Iterator[FileBytes]:
    """A file read through windows of 16 bytes, and searched eight bytes at a time."""
    with (
        tempfile.TemporaryFile(buffering=0) as file,
        patch.multiple(part, _WINDOW=16, _PAGE=4, _SEARCHED=8),
    ):
        file.write(content)
        yield FileBytes(file)


@given(_FEW_LETTERS, st.lists(st.slices(110), max_size=20))
def test_slices_equal_those_of_bytes(content: bytes, slices: list[slice]) -> None:
    with opened(content) as data:
        assert len(data) == len(content)
        for each in slices:
            if each.step is None or each.step > 0:
                assert data[each] == content[each]


@given(_FEW_LETTERS.filter(bool), st.data())
def test_indexing_equals_that_of_bytes(content: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(content) - 1))
    with opened(content) as data:
        assert data[at] == content[at]
        with pytest.raises(IndexError):
            data[len(content)]


@given(_FEW_LETTERS, st.sampled_from([b"a", b"ab", b"\0\0b", b"aba"]), st.data())
def test_matches_equal_those_of_re(content: bytes, needle: bytes, draw: st.DataObject) -> None:
    start, end = draw.draw(st.integers(0, 100)), draw.draw(st.integers(0, len(content)))
    pattern = re.compile(needle)
    expected = [match.start() for match in pattern.finditer(content, start, end)]
    with opened(content) as data:
        assert list(data.find_all(pattern, start, end, len(needle))) == expected
        assert data.find(needle, start, end) == content.find(needle, start, end)


def test_an_ogg_is_read_little_more_than_once(tmp_path: Path) -> None:
    """Its pages are found one after another, mostly within the window already loaded."""
    path = write_audio(tmp_path / "song.ogg", noisy_tones(1_000_000))
    _, loaded = read_counts(path)
    assert loaded < 2 * path.stat().st_size


@pytest.mark.parametrize("kind", ["ts", "flv"])
def test_trailing_junk_is_searched_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"song.{kind}"
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", path)
    junk = np.random.default_rng(0).integers(1, 256, 500_000, np.uint8).tobytes()
    path.write_bytes(path.read_bytes() + junk)
    count, loaded = read_counts(path)
    assert count < len(junk) / 5
    assert loaded < 20 * path.stat().st_size


def test_many_trailing_chunks_are_walked_in_order(tmp_path: Path) -> None:
    """Three walks and one search for another file each read most of the file."""
    path = write_audio(tmp_path / "song.wav", tones(900))
    data = path.read_bytes() + (b"LIST" + struct.pack("<I", 70_000) + bytes(70_000)) * 100
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    _, loaded = read_counts(path)
    assert loaded < 6 * len(data)


def read_counts(path: Path) -> tuple[int, int]:
    """Number of reads, and of loaded bytes, to find the audio of a file."""
    read, load, starts, counts = FileBytes._read, FileBytes._load, [], []

    def counting_read(self: FileBytes, start: int, end: int) -> bytes:
        starts.append(start)
        return read(self, start, end)

    def counting_load(self: FileBytes, start: int, count: int) -> bytes:
        counts.append(count)
        return load(self, start, count)

    with patch.multiple(FileBytes, _read=counting_read, _load=counting_load):
        assert sound_parts(path)
    return len(starts), sum(counts)


def test_reading_beyond_a_shrunken_file_is_an_error() -> None:
    with opened(bytes(range(100))) as data:
        os.truncate(data._file.fileno(), 50)
        assert data[20:30] == bytes(range(20, 30))
        for start, end in [(40, 60), (45, 90), (70, 80)]:
            with pytest.raises(ValueError, match="truncated"):
                data[start:end]


def test_unpacking_beyond_the_end_is_a_struct_error() -> None:
    with opened(bytes(range(10))) as data:
        assert data.unpack("<I", 6) == (0x09080706,)
        with pytest.raises(struct.error):
            data.unpack("<I", 7)


def test_a_song_that_shrinks_during_reading_does_not_crash(tmp_path: Path) -> None:
    """With a memory map, reading beyond the new end would be a SIGBUS."""
    path = write_audio(tmp_path / "song.mp3", tones(200_000))
    load, reads = FileBytes._load, []

    def shrinking(self: FileBytes, start: int, count: int) -> bytes:
        reads.append(start)
        if len(reads) == 2:
            os.truncate(path, 3000)
        return load(self, start, count)

    with patch.object(FileBytes, "_load", shrinking), patch.object(part, "_WINDOW", 4096):
        assert sound_parts(path)
    assert len(reads) == 2

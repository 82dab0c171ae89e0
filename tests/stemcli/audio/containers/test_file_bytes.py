"""The bytes of a file read through windows equal the bytes themselves (a law)."""

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
    """A file that is read through windows of 16 bytes, and searched eight bytes at a time."""
    with (
        tempfile.TemporaryFile(buffering=0) as file,
        patch.multiple(part, _WINDOW=16, _PAGE=4, _SEARCHED=8),
    ):
        file.write(content)
        yield FileBytes(file)


@given(_FEW_LETTERS, st.lists(st.slices(110), max_size=20))
def test_slices_are_those_of_the_bytes(content: bytes, slices: list[slice]) -> None:
    with opened(content) as data:
        assert len(data) == len(content)
        for each in slices:
            if each.step is None or each.step > 0:
                assert data[each] == content[each]


@given(_FEW_LETTERS.filter(bool), st.data())
def test_single_bytes_are_those_of_the_bytes(content: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(content) - 1))
    with opened(content) as data:
        assert data[at] == content[at]
        with pytest.raises(IndexError):
            data[len(content)]


@given(_FEW_LETTERS, st.sampled_from([b"a", b"ab", b"\0\0b", b"aba"]), st.data())
def test_places_are_those_that_re_finds(content: bytes, wanted: bytes, draw: st.DataObject) -> None:
    start, end = draw.draw(st.integers(0, 100)), draw.draw(st.integers(0, len(content)))
    pattern = re.compile(wanted)
    truth = [match.start() for match in pattern.finditer(content, start, end)]
    with opened(content) as data:
        assert list(data.find_all(pattern, start, end, len(wanted))) == truth
        assert data.find(wanted, start, end) == content.find(wanted, start, end)


def test_a_song_in_pages_is_read_little_more_than_once(tmp_path: Path) -> None:
    """By count: its pages are found one after another, each in the window that was read before."""
    path = write_audio(tmp_path / "song.ogg", noisy_tones(1_000_000))
    _, loaded = reads(path)
    assert loaded < 2 * path.stat().st_size


@pytest.mark.parametrize("kind", ["ts", "flv"])
def test_junk_behind_packets_is_searched_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"song.{kind}"
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", path)
    junk = np.random.default_rng(0).integers(1, 256, 500_000, np.uint8).tobytes()
    path.write_bytes(path.read_bytes() + junk)
    count, loaded = reads(path)
    assert count < len(junk) / 5
    assert loaded < 20 * path.stat().st_size


def test_many_chunks_behind_the_sound_are_walked_in_their_order(tmp_path: Path) -> None:
    """Three walks and one search for another file, each of which reads most of this one."""
    path = write_audio(tmp_path / "song.wav", tones(900))
    data = path.read_bytes() + (b"LIST" + struct.pack("<I", 70_000) + bytes(70_000)) * 100
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    _, loaded = reads(path)
    assert loaded < 6 * len(data)


def reads(path: Path) -> tuple[int, int]:
    """How often a file is read in search of its sound, and how many bytes are loaded for it."""
    read, load, asked, counts = FileBytes._read, FileBytes._load, [], []

    def asking(self: FileBytes, start: int, end: int) -> bytes:
        asked.append(start)
        return read(self, start, end)

    def loading(self: FileBytes, start: int, count: int) -> bytes:
        counts.append(count)
        return load(self, start, count)

    with patch.multiple(FileBytes, _read=asking, _load=loading):
        assert sound_parts(path)
    return len(asked), sum(counts)


def test_a_file_that_shrinks_is_refused_where_it_has_no_bytes_left() -> None:
    with opened(bytes(range(100))) as data:
        os.truncate(data._file.fileno(), 50)
        assert data[20:30] == bytes(range(20, 30))
        for start, end in [(40, 60), (45, 90), (70, 80)]:
            with pytest.raises(ValueError, match="truncated"):
                data[start:end]


def test_numbers_behind_the_end_are_an_error_of_struct() -> None:
    with opened(bytes(range(10))) as data:
        assert data.unpack("<I", 6) == (0x09080706,)
        with pytest.raises(struct.error):
            data.unpack("<I", 7)


def test_a_song_that_shrinks_while_it_is_walked_ends_no_process(tmp_path: Path) -> None:
    """On a memory map, a byte behind the new end is a SIGBUS."""
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

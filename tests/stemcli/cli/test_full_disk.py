"""A disk without room: one sentence for each song that did not fit, and nothing of it is left.

The kernel refuses in two ways: a limit on the size of files, which every user may set, and a file
system of a few kilobytes, which only root may mount.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from tests.little_room import room_for
from tests.stemcli.cli.bad_songs import RATE, noise, write
from tests.stemcli.cli.conftest import Typed
from tests.stemcli.cli.watching import sentence, tree

ROOM = 28_000
"""Bytes: enough for a journal and for every file of the short song, for none of the long one."""

DISK = 100_000
"""Bytes: enough for the same together."""

FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a")


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """A folder with a song that fits and one that does not."""
    (tmp_path / "in").mkdir()
    write(tmp_path / "in/short.wav", noise(RATE // 20))
    write(tmp_path / "in/long.wav", noise(3 * RATE))
    return tmp_path / "in"


@pytest.fixture
def little_room(songs: Path, tiny: Typed) -> Iterator[None]:
    """No file of this process and its children may grow beyond ``ROOM``."""
    with room_for(ROOM):
        yield


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of ``DISK`` bytes."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)]
    subprocess.run(words, check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def stems_of_the_short_song(output: str, format: str) -> set[str]:
    stems = {f"{output}/short/{stem}.{format}" for stem in ("vocals", "band")}
    return {f"{output}/.stem-journal.sqlite", *stems}


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("clip", ["clamp", "rescale"])
def test_a_song_that_does_not_fit(format: str, clip: str, tiny: Typed, tmp_path: Path) -> None:
    """``rescale`` keeps all of a song aside before the first encoder has anything to write."""
    before = tree(tmp_path)
    chosen = ("-f", format, "--clip-mode", clip)
    is_kept_aside = clip == "rescale" and format != "wav"  # which has floats, as the song
    advice = "set TMPDIR to a folder" if is_kept_aside else "--output"
    assert advice in sentence(tiny("separate", "in/long.wav", *chosen), 1)
    assert tree(tmp_path) == before
    line = sentence(tiny("batch", "in", *chosen), 1)
    assert line.startswith("Error: long.wav: ")
    assert advice in line
    assert tree(tmp_path) - before == stems_of_the_short_song("separated", format)


@pytest.mark.root
@pytest.mark.usefixtures("songs", "one_by_one")
@pytest.mark.parametrize("format", FORMATS)
def test_a_disk_that_is_full(format: str, disk: Path, tiny: Typed, tmp_path: Path) -> None:
    """Songs beside the long one might find no room either, as long as it is there."""
    before = tree(tmp_path)
    chosen = ("-f", format, "--clip-mode", "clamp", "-o", "disk/out")
    line = sentence(tiny("batch", "in", *chosen), 1)
    assert line.startswith("Error: long.wav: ")
    assert "--output" in line
    stems = stems_of_the_short_song("disk/out", format)
    assert tree(tmp_path) - before == stems


@pytest.mark.root
@pytest.mark.usefixtures("songs")
def test_a_disk_with_room_for_the_stems_alone(disk: Path, tiny: Typed, tmp_path: Path) -> None:
    """By hand: two stereo stems of 0.5 s at 16 kHz take 64 kB in 16 bits, 128 kB as floats."""
    write(tmp_path / "song.wav", noise(RATE // 2))
    done = tiny("separate", "song.wav", "-o", "disk/out", "--bit-depth", "16")
    assert done.exit_code == 0, done.stderr
    assert [soundfile.info(path).frames for path in disk.rglob("*.wav")] == 2 * [RATE // 2]


@pytest.mark.root
@pytest.mark.usefixtures("songs")
def test_a_temporary_folder_without_room(
    disk: Path, tiny: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and nothing is left; elsewhere there is room, so that the song is done."""
    write(tmp_path / "song.wav", noise(4 * RATE))
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    monkeypatch.setenv("TMPDIR", str(disk))
    line = sentence(tiny("separate", "song.wav", "-o", "disk/out", "--bit-depth", "16"), 1)
    assert f"{disk}" in line
    assert "set TMPDIR" in line
    assert [*disk.iterdir()] == []
    assert tiny("separate", "song.wav", "-o", "out", "--bit-depth", "16").exit_code == 0


@pytest.mark.root
@pytest.mark.usefixtures("songs")
def test_a_disk_without_room_for_a_journal(disk: Path, tiny: Typed, tmp_path: Path) -> None:
    (disk / "ballast").write_bytes(bytes(DISK // 4096 * 4096))
    assert "Free some space, check its permissions" in sentence(
        tiny("batch", "in", "-o", "disk"), 1
    )
    assert not [*disk.rglob("*.wav")]

"""A full disk: one error message per song that did not fit, and no partial files.

Simulated in two ways: by a limit on file sizes, which every user may set, and by a file system of
a few kilobytes, which only root may mount.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from tests.full_disk import file_limit
from tests.stemcli.cli.bad_songs import RATE, noise, write
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import error_line, tree

FILE_LIMIT = 28_000
"""File size limit: enough for the journal and files of the short song, too small for the long."""

DISK = 100_000
"""Disk size in bytes: enough for the journal and all files of the short song together."""

FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a")


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """A folder with a song that fits on the disk and one that does not."""
    (tmp_path / "in").mkdir()
    write(tmp_path / "in/short.wav", noise(RATE // 20))
    write(tmp_path / "in/long.wav", noise(3 * RATE))
    return tmp_path / "in"


@pytest.fixture
def limited_files(songs: Path, run_tiny: RunStem) -> Iterator[None]:
    """Limit every file written by this process and its children to ``FILE_LIMIT`` bytes."""
    with file_limit(FILE_LIMIT):
        yield


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of ``DISK`` bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    subprocess.run(command, check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def stems_of_the_short_song(output: str, format: str) -> set[str]:
    stems = {f"{output}/short/{stem}.{format}" for stem in ("vocals", "band")}
    return {f"{output}/.stem-journal.sqlite", *stems}


@pytest.mark.usefixtures("limited_files")
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("clip", ["clamp", "rescale"])
def test_a_song_that_does_not_fit(
    format: str, clip: str, run_tiny: RunStem, tmp_path: Path
) -> None:
    """``rescale`` spools the whole song before the first encoder writes."""
    before = tree(tmp_path)
    options = ("-f", format, "--clip-mode", clip)
    is_spooled = clip == "rescale" and format != "wav"  # wav stores floats, like the song
    advice = "set TMPDIR to a folder" if is_spooled else "--output"
    assert advice in error_line(run_tiny("separate", "in/long.wav", *options), 1)
    assert tree(tmp_path) == before
    line = error_line(run_tiny("batch", "in", *options), 1)
    assert line.startswith("Error: long.wav: ")
    assert advice in line
    assert tree(tmp_path) - before == stems_of_the_short_song("separated", format)


@pytest.mark.root
@pytest.mark.usefixtures("songs", "one_song_at_a_time")
@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk(format: str, disk: Path, run_tiny: RunStem, tmp_path: Path) -> None:
    """One song at a time, or the short song might not fit beside the long one either.

    Lossy stems of ten seconds do not fit on the disk in any format, those of three would.
    """
    write(tmp_path / "in/long.wav", noise(10 * RATE))
    before = tree(tmp_path)
    options = ("-f", format, "--clip-mode", "clamp", "-o", "disk/out")
    line = error_line(run_tiny("batch", "in", *options), 1)
    assert line.startswith("Error: long.wav: ")
    assert "--output" in line
    stems = stems_of_the_short_song("disk/out", format)
    assert tree(tmp_path) - before == stems


@pytest.mark.root
@pytest.mark.usefixtures("songs")
def test_a_disk_with_space_for_the_stems_only(
    disk: Path, run_tiny: RunStem, tmp_path: Path
) -> None:
    """By hand: two stereo stems of 0.5 s at 16 kHz take 64 kB at 16 bits, 128 kB as floats."""
    write(tmp_path / "song.wav", noise(RATE // 2))
    done = run_tiny("separate", "song.wav", "-o", "disk/out", "--bit-depth", "16")
    assert done.exit_code == 0, done.stderr
    assert [soundfile.info(path).frames for path in disk.rglob("*.wav")] == 2 * [RATE // 2]


@pytest.mark.root
@pytest.mark.usefixtures("songs")
def test_a_full_temporary_folder(
    disk: Path, run_tiny: RunStem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names it and no file is left; with output elsewhere the song is separated."""
    write(tmp_path / "song.wav", noise(4 * RATE))
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    monkeypatch.setenv("TMPDIR", str(disk))
    line = error_line(run_tiny("separate", "song.wav", "-o", "disk/out", "--bit-depth", "16"), 1)
    assert f"{disk}" in line
    assert "set TMPDIR" in line
    assert [*disk.iterdir()] == []
    assert run_tiny("separate", "song.wav", "-o", "out", "--bit-depth", "16").exit_code == 0


@pytest.mark.root
@pytest.mark.usefixtures("songs")
def test_a_disk_without_space_for_a_journal(disk: Path, run_tiny: RunStem, tmp_path: Path) -> None:
    (disk / "ballast").write_bytes(bytes(DISK // 4096 * 4096))
    assert "Free some space, check its permissions" in error_line(
        run_tiny("batch", "in", "-o", "disk"), 1
    )
    assert not [*disk.rglob("*.wav")]

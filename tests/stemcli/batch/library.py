"""A library of 60 songs in nested folders, a zoo with one small network, and runs over them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from stemcli.batch.journal import NAME, Journal
from stemcli.batch.library import find_songs
from stemcli.batch.records import JournalEntry
from tests.model_zoo.small import small_network

SONGS, RATE = 60, 8000


def make_library(folder: Path, patch: pytest.MonkeyPatch, seconds: int) -> Path:
    """Write songs of one, two or three times ``seconds``."""
    patch.setenv("STEM_HOME", str(folder / "zoo"))
    patch.setenv("OMP_NUM_THREADS", "1")
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))
    rng = np.random.default_rng(0)
    for number in range(SONGS):
        album = folder / "in" / f"artist {number % 7}" / f"album {number % 3}"
        album.mkdir(parents=True, exist_ok=True)
        wave = rng.uniform(-0.5, 0.5, (RATE * seconds * (1 + number % 3), 2))
        soundfile.write(album / f"song {number}.flac", wave, RATE)
    return folder / "in"


def batch_arguments(library: Path, out: Path, *more: str) -> list[str]:
    """Arguments of Python that separate the library."""
    options = ["-m", "tiny", "-o", str(out), "--json", "--format", "flac", *more]
    return ["-m", "stemcli", "batch", str(library), *options]


def start(library: Path, out: Path, jobs: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, *batch_arguments(library, out, "--jobs", str(jobs))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def files(folder: Path) -> dict[str, bytes]:
    """Names and contents of all files below ``folder`` except the journal."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != NAME
    }


def entries(library: Path, out: Path) -> list[JournalEntry]:
    """The journal's entries for the songs."""
    places = [str(song.folder / song.path.name) for song in find_songs(library).songs]
    with Journal(out) as journal:
        return [entry for place in places if (entry := journal.find(place))]

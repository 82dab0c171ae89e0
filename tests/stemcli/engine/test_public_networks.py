"""Public networks with their real weights: pulled from a local server, and separated with.

``STEM_TEST_WEIGHTS`` names a folder with ``htdemucs/htdemucs.safetensors``, and
``STEM_TEST_AUDIO`` the real recordings. References: demucs 4.1.0 beside ours on the same song, and
the true stems of a song.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import stemcli
from model_zoo.catalogue.cards import find
from model_zoo.catalogue.public import PublicModel, find_public
from model_zoo.catalogue.pull import pull
from model_zoo.importers.convert import install_public
from tests.benchmarks.peers_separate import demucs
from tests.model_zoo.catalogue import hub as server
from tests.model_zoo.catalogue.hub import whole

pytestmark = [pytest.mark.slow, pytest.mark.weights, pytest.mark.audio]
Wave = NDArray[np.float32]


@pytest.fixture(scope="module")
def htdemucs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublicModel]:
    """The catalogue's htdemucs, installed from a local server by its public SHA-256."""
    path = Path(os.environ["STEM_TEST_WEIGHTS"]) / "htdemucs" / "htdemucs.safetensors"
    entry = find_public("955717e8")
    assert entry is not None
    with pytest.MonkeyPatch.context() as patch, server.serve() as hub:
        patch.setenv("STEM_HOME", str(tmp_path_factory.mktemp("zoo")))
        patch.setenv("STEM_CACHE", str(tmp_path_factory.mktemp("cache")))
        url = hub.add("/htdemucs.safetensors", partial(whole, content=path.read_bytes()))
        local = replace(entry, files=(replace(entry.files[0], url=url),))
        pull(local, install=install_public, accept_licence=True)
        yield local


def sdr(truth: Wave, estimate: Wave) -> float:
    """Global SDR in dB."""
    error = np.square(truth - estimate, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(truth, dtype=np.float64).sum() / error))


def read(name: str, seconds: float | None = None) -> Wave:
    path = Path(os.environ["STEM_TEST_AUDIO"]) / name
    rate = soundfile.info(path).samplerate
    frames = -1 if seconds is None else round(seconds * rate)
    return soundfile.read(path, dtype="float32", frames=frames, always_2d=True)[0]


def separated(wave: Wave) -> dict[str, Wave]:
    return stemcli.separate(
        wave, sample_rate=44_100, model="htdemucs", precision="fp32", device="cpu"
    )


def test_the_card_says_what_the_catalogue_does(htdemucs: PublicModel) -> None:
    card = find("htdemucs")
    assert card.stems == ("drums", "bass", "other", "vocals")
    assert (card.grid, card.level, card.overlap) == ("htdemucs", "standard", 0.25)
    assert card.licence == htdemucs.licence
    assert card.scores == htdemucs.scores


def test_the_true_stems(htdemucs: PublicModel) -> None:
    """Measured with demucs 4.1.0, shifts 0 and overlap 0.25: vocals 3.23 dB, drums 15.16 dB."""
    stems = separated(read("multitrack/mixture.flac"))
    assert sdr(read("multitrack/vocals.flac"), stems["vocals"]) == pytest.approx(3.23, abs=0.05)
    assert sdr(read("multitrack/drums.flac"), stems["drums"]) == pytest.approx(15.16, abs=0.05)


@pytest.mark.peers
def test_a_minute_equals_that_of_demucs(htdemucs: PublicModel) -> None:
    """Property: at least 60 dB between demucs' stems and the difference to ours."""
    path = Path(os.environ["STEM_TEST_WEIGHTS"]) / "htdemucs" / "htdemucs.safetensors"
    wave = read("mixtures/karissa_hobbs_lets_go_fishin.ogg", 60)
    theirs = demucs(str(path), "fp32")(wave)
    ours = separated(wave)
    for stem, expected in zip(htdemucs.stems, theirs, strict=True):
        assert sdr(expected, ours[stem]) > 60, stem

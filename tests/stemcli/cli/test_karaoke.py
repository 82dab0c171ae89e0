"""``--karaoke``: one stem, the song without its voice, by the real engine and a small network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.architectures.melrnn import MelRNN
from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from stemcli.batch.journal import NAME
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import RunStem
from tests.stemcli.cli.results import error_line

RATE = 16_000


@pytest.fixture(autouse=True)
def song(tmp_path: Path) -> Path:
    path = tmp_path / "in/song.wav"
    path.parent.mkdir()
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (RATE // 2, 2))
    soundfile.write(path, noise, RATE, "FLOAT")
    return path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_song_without_its_voice(run_tiny: RunStem, tmp_path: Path, song: Path) -> None:
    """Property: vocals and karaoke add up to the song."""
    done = run_tiny("separate", song, "--karaoke", "-o", "out")
    assert (done.exit_code, files(tmp_path / "out")) == (0, {"song/karaoke.wav"})
    assert run_tiny("separate", song, "--stems", "vocals", "-o", "voice").exit_code == 0
    parts = [soundfile.read(tmp_path / name)[0] for name in ("in/song.wav", "out/song/karaoke.wav")]
    vocals, _ = soundfile.read(tmp_path / "voice/song/vocals.wav")
    np.testing.assert_allclose(parts[1] + vocals, parts[0], atol=1e-6)


def test_a_folder_is_resumed(run_tiny: RunStem, tmp_path: Path) -> None:
    done = run_tiny("batch", "in", "--karaoke", "-o", "out")
    assert (done.exit_code, files(tmp_path / "out") - {NAME}) == (0, {"song/karaoke.wav"})
    again = run_tiny("batch", "in", "--karaoke", "-o", "out")
    assert (again.exit_code, "1 song skipped" in again.stderr) == (0, True)


def test_a_network_that_knows_the_lead_voice_gives_its_own_stem(
    run_stem: RunStem, tmp_path: Path, song: Path
) -> None:
    card = Card("lead", "melrnn", stems=("vocals",), residual="karaoke")
    install(small_network(), card)
    options = ("-m", "lead", "--segment", "0.5")
    assert run_stem("separate", song, *options, "-o", "all").exit_code == 0
    assert run_stem("separate", song, *options, "--karaoke", "-o", "one").exit_code == 0
    assert files(tmp_path / "one") == {"song/karaoke.wav"}
    one, all_stems = (tmp_path / name / "song/karaoke.wav" for name in ("one", "all"))
    np.testing.assert_array_equal(soundfile.read(one)[0], soundfile.read(all_stems)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--stems vocals", "--stems and --karaoke contradict each other; use one of them"),
        ("--two-stems vocals", "--two-stems and --karaoke contradict each other"),
        ("-m drums", "--karaoke: it needs a model that gives vocals, found drums, rest"),
    ],
)
def test_wrong_requests(options: str, message: str, run_tiny: RunStem, song: Path) -> None:
    """Nothing is written, and one sentence says why."""
    network = MelRNN(8, 1, 2, 128, 32, RATE, num_bands=6, stems=("drums",), segment=8192)
    install(network, Card("drums", "melrnn", stems=("drums",), residual="rest"))
    done = run_tiny("separate", song, "--karaoke", *options.split())
    assert message in error_line(done, 2)
    assert files(song.parents[1]) >= {"in/song.wav"}
    assert not (song.parents[1] / "separated").exists()

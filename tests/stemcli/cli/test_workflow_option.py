"""``--workflow`` of ``stem separate`` and ``stem batch``: files, repeated runs and mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from tests.audio_files import noisy_tones
from tests.model_zoo.small import small_network
from tests.stemcli.cli.conftest import RunStem

WORKFLOW = """
[[steps]]
model = "tiny"
outputs = { vocals = "voice", band = "band" }

[[steps]]
input = "voice"
model = "tiny"
outputs = { vocals = "dry", rest = "room" }
"""
QUICK = ("--precision", "fp32")


@pytest.fixture
def songs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_stem: RunStem) -> Path:
    monkeypatch.chdir(tmp_path)
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))
    Path("w.toml").write_text(WORKFLOW, encoding="utf-8")
    for name in ("a", "b"):
        path = tmp_path / "songs" / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, noisy_tones(8000, 16_000), 16_000, "FLOAT")
    return tmp_path / "songs"


def test_the_kept_outputs_add_up_to_the_song(songs: Path, run_stem: RunStem) -> None:
    """Property: band, dry and room; the voice is dry and room."""
    result = run_stem("separate", songs / "a.wav", "--workflow", "w.toml", "-o", "out", *QUICK)
    assert result.exit_code == 0, result.output
    files = sorted(Path("out/a").iterdir())
    assert [path.name for path in files] == ["band.wav", "dry.wav", "room.wav"]
    total = sum(soundfile.read(path, dtype="float32")[0] for path in files)
    np.testing.assert_allclose(total, soundfile.read(songs / "a.wav")[0], atol=1e-6)


def test_a_second_batch_does_only_what_is_missing(songs: Path, run_stem: RunStem) -> None:
    batch = ("batch", songs, "--workflow", "w.toml", "-o", "out", *QUICK)
    assert run_stem(*batch).exit_code == 0
    assert "2 songs skipped: done in an earlier run" in run_stem(*batch).output
    Path("w.toml").write_text(WORKFLOW.replace('"room"', '"hall"'), encoding="utf-8")
    again = run_stem(*batch, "--overwrite")
    assert again.exit_code == 0, again.output
    assert Path("out/b/hall.wav").is_file()


def test_a_mistake_is_one_sentence_and_leaves_nothing(songs: Path, run_stem: RunStem) -> None:
    Path("w.toml").write_text(WORKFLOW.replace('input = "voice"', 'input = "vioce"'), "utf-8")
    result = run_stem("batch", songs, "--workflow", "w.toml", "-o", "out")
    assert result.exit_code != 0
    assert result.stderr.count("Error:") == 1
    assert (
        "w.toml cannot be used (step 2 has an unknown input 'vioce'; did you mean" in result.stderr
    )
    assert not Path("out").exists()


def test_a_workflow_replaces_models(songs: Path, run_stem: RunStem) -> None:
    args = ("--workflow", "w.toml", "-m", "tiny")
    result = run_stem("separate", songs / "a.wav", *args)
    assert "--workflow and --model contradict each other" in result.stderr

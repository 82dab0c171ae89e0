"""Files of Open-Unmix. Reference: the layout of its published networks (a golden file with its
generator is in tests/golden/open_unmix), and for the tensors of older files the authors' code of
2019 (github.com/sigsep/open-unmix-pytorch, version 1.0)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model_zoo.architectures.open_unmix import OpenUnmix, OpenUnmixConfig
from model_zoo.catalogue import resolve
from model_zoo.errors import CheckpointError, ConfigError, NoModelError
from model_zoo.importers import convert
from model_zoo.importers.convert import read_network
from model_zoo.importers.msrkit import GeneratorOptions
from model_zoo.importers.open_unmix import assemble, stems_of
from model_zoo.introspection import build_on_meta
from tests.model_zoo.blocks.weights import fill, pattern

LAYOUTS = json.loads((Path(__file__).parents[2] / "golden/open_unmix/layouts.json").read_text())
MUSIC = ("vocals", "drums", "bass", "other")
FILES = ("vocals-b62c91ce.pth", "drums-9619578f.pth", "bass-8d85a5bd.pth", "other-b52fbbf7.pth")
USUAL = GeneratorOptions()
PUBLISHED: dict[str, tuple[tuple[str, ...], OpenUnmixConfig]] = {
    "umxhq": (MUSIC, OpenUnmixConfig()),
    "umxl": (MUSIC, OpenUnmixConfig(hidden_size=1024)),
    "umxse": (
        ("speech", "noise"),
        OpenUnmixConfig(
            hidden_size=256,
            num_bins=513,
            audio_channels=1,
            stems=("speech", "noise"),
            window_size=1024,
            hop_size=512,
            sample_rate=16_000,
            segment=96_000,
        ),
    ),
}
SMALL: dict[str, Any] = {
    **{"hidden_size": 16, "num_layers": 2, "num_bins": 96, "window_size": 256, "hop_size": 64},
    "niter": 1,
}
Change = Callable[[dict[str, Tensor]], object]


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEM_HOME", str(tmp_path / "zoo"))
    return tmp_path / "zoo"


def network(**options: Any) -> OpenUnmix:
    return fill(OpenUnmix(**{**SMALL, **options}), size=0.2)


def written(separator: OpenUnmix, folder: Path, change: Change = dict) -> list[Path]:
    """One file per target, named like the published ones."""
    paths = [folder / name for name in FILES[: len(separator.targets)]]
    for target, path in zip(separator.targets, paths, strict=True):
        tensors = target.state_dict()
        change(tensors)
        torch.save(tensors, path)
    return paths


def assert_equal(one: torch.nn.Module, other: torch.nn.Module) -> None:
    tensors = other.state_dict()
    assert tensors.keys() == one.state_dict().keys()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_of_the_published_models(name: str) -> None:
    stems, expected = PUBLISHED[name]
    target = {key: torch.empty(shape, device="meta") for key, shape in LAYOUTS[name].items()}
    config, tensors = assemble([target] * len(stems), stems, USUAL)
    assert OpenUnmixConfig.from_dict(config) == expected
    wanted = build_on_meta("open_unmix", config).state_dict()
    wanted.pop("fourier.window")
    assert {key: value.shape for key, value in tensors.items()} == {
        key: value.shape for key, value in wanted.items()
    }


@pytest.mark.parametrize("options", [{}, {"audio_channels": 1}, {"unidirectional": True}])
def test_all_weights_arrive(options: dict[str, Any], tmp_path: Path) -> None:
    separator = network(**options)
    found = read_network(written(separator, tmp_path))
    assert found.config == OpenUnmixConfig(**{**SMALL, **options})
    assert_equal(found, separator)


@pytest.mark.parametrize("as_archive", [False, True])
def test_older_files_hold_the_transform_and_the_rate(as_archive: bool, tmp_path: Path) -> None:
    """Version 1.0 registered the window twice, and torch then wrote pickles without an archive."""
    separator = network(stems=("vocals", "drums", "bass", "other"), sample_rate=32_000)
    window = torch.hann_window(256)
    for target, name in zip(separator.targets, FILES, strict=True):
        rest = {"stft.window": window, "transform.0.window": window}
        counters = [key for key in target.state_dict() if key.endswith("num_batches_tracked")]
        tensors = {**target.state_dict(), **rest, "sample_rate": torch.tensor(32_000)}
        for key in counters:
            del tensors[key]
        torch.save(tensors, tmp_path / name, _use_new_zipfile_serialization=as_archive)
    found = read_network([tmp_path / name for name in FILES])
    assert (found.sample_rate, found.segment) == (32_000, 6 * 32_000)
    assert_equal(found, separator)


def test_stems_are_in_the_order_of_the_published_models(tmp_path: Path) -> None:
    separator = network()
    found = read_network(sorted(written(separator, tmp_path)))
    assert found.stems == MUSIC
    assert_equal(found, separator)
    renamed = read_network(written(separator, tmp_path), ("a", "b", "c", "d"))
    assert renamed.stems == ("a", "b", "c", "d")


def test_file_names_by_hand() -> None:
    names = ("vocals-b62c91ce.pth", "speech_f5e0d9f9.pth", "Lead Guitar.pth", "bass-guitar.pth")
    assert stems_of([*map(Path, names)]) == ("vocals", "speech", "lead_guitar", "bass_guitar")


def test_a_single_target_has_a_residual_and_no_filter(tmp_path: Path, zoo: Path) -> None:
    paths = written(network(), tmp_path)
    card = convert(paths[0], name="voice")
    assert (card.stems, card.residual) == (("vocals",), "no_vocals")
    found = resolve.load("voice")
    assert found.config == OpenUnmixConfig(**{**SMALL, "stems": ("vocals",), "niter": 0})


def test_the_converted_model_runs(tmp_path: Path, zoo: Path) -> None:
    separator = network()
    card = convert(written(separator, tmp_path), name="four", licence="MIT")
    assert (card.architecture, card.stems, card.residual) == ("open_unmix", MUSIC, "")
    assert card.source == f"Open-Unmix checkpoint {', '.join(FILES)}"
    mixture = pattern(1, 2, 3000)
    assert torch.equal(resolve.load("four")(mixture), separator(mixture))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda target: target.pop("bn2.running_var"), r"targets\.0\.bn2\.running_var, .* missing"),
        (lambda target: target.pop("input_mean"), "there is no input_mean"),
        (lambda target: target.update({"fc4.weight": torch.zeros(1)}), "fc4.weight.* unknown"),
        (lambda target: target.update({"input_mean": torch.zeros(0)}), r"input_mean is \(0,\)"),
        (lambda target: target.update({"fc1.weight": torch.zeros(16)}), r"fc1.weight is \(16,\)"),
        (lambda target: target.update({"fc2.weight": torch.zeros(16, 3)}), "fc2.weight is"),
    ],
)
def test_other_tensors_are_refused(change: Change, message: str, tmp_path: Path) -> None:
    paths = written(network(), tmp_path, change)
    with pytest.raises(CheckpointError, match=message):
        read_network(paths)


def test_targets_of_different_sizes_are_refused(tmp_path: Path) -> None:
    written(network(hidden_size=18), tmp_path)
    written(network(stems=("vocals", "drums", "bass")), tmp_path)
    with pytest.raises(CheckpointError, match=r"targets\.3\..* instead of"):
        read_network([tmp_path / name for name in FILES])


def test_options_that_contradict_the_files_are_refused(tmp_path: Path, zoo: Path) -> None:
    paths = written(
        network(), tmp_path, lambda target: target.update(sample_rate=torch.tensor(44_100))
    )
    for files, options, message in (
        (paths[:2], {}, "the files of bass, other are missing: convert all of a model, or one"),
        (paths, {"stems": ("a",)}, "1 names for 4 files: name each"),
        (paths, {"sample_rate": 48_000}, "the file states 44100 Hz: leave it out"),
        (paths, {"hop_size": 256}, "hop_size must be below window_size=256, found 256"),
        (paths, {"residual": "rest"}, "are the whole song: leave it out"),
    ):
        with pytest.raises(ConfigError, match=message):
            convert(files, name="mine", **options)  # type: ignore[arg-type]
    assert not zoo.exists()


def test_targets_and_other_networks_are_not_mixed(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(NoModelError, match="Only models of Spleeter and Open-Unmix have one file"):
        read_network([*written(network(), tmp_path)[:3], tmp_path / "other.pth"])

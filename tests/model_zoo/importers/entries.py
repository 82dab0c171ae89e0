"""Small files in place of those that entries of the catalogue name, in their authors' layouts.

A file has the names and shapes of tensors, and the class and arguments, by which an importer tells
a network of the entry's options: its window, channels and stems. All other sizes are small.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from model_zoo import registry
from model_zoo.catalogue.public import PublicModel
from model_zoo.separator import Separator
from tests.model_zoo.importers.published import Published, as_package, published_tensors

SPLEETER = Path(__file__).parents[2] / "golden/spleeter"
"""Small TensorFlow checkpoints that spleeter 2.4.2 read; see its generator."""

ROFORMER = {
    **{"hidden_channels": 8, "num_layers": 1, "num_heads": 1, "head_channels": 8},
    **{"mask_layers": 1, "dropout": 0.0},
}
SMALL: dict[str, Mapping[str, Any]] = {
    "bs_roformer": ROFORMER,
    "mel_band_roformer": ROFORMER,
    "mdx23c": {
        **{"num_bins": 64, "num_subbands": 2, "num_scales": 2, "num_blocks": 1},
        **{"hidden_channels": 4, "growth": 4, "bottleneck_factor": 2},
    },
    "scnet": {"widths": (8, 12), "num_layers": 2, "conv_depths": (1, 1, 1)},
    "htdemucs": {"channels": 8, "t_layers": 1, "t_heads": 8, "bottom_channels": 16},
    "hdemucs": {"channels": 8},
    "open_unmix": {"hidden_size": 16, "num_layers": 1, "num_bins": 64},
}
VARIANTS: dict[str, Mapping[str, Any]] = {
    "masked": {"output": "mask"},
    "amplitude spectrogram": {"output": "magnitude"},
}
"""Options of the variants that are built."""

YAML_HOP, YAML_CHUNK = 512, 400_000
"""What the YAML file of an entry says, where one is needed."""


def network_of(model: PublicModel) -> Separator:
    """A small network with the options that an entry states."""
    stated = {
        "window_size": model.options.n_fft,
        "audio_channels": model.options.channels,
        "band_ratios": model.options.band_ratios,
    }
    has = registry.architecture(model.architecture).Config().to_dict()
    options = {key: value for key, value in stated.items() if value and key in has}
    small = {**SMALL[model.architecture], **VARIANTS.get(model.variant, {})}
    return registry.build(model.architecture, {**small, **options, "stems": [*model.stems]})


def write_entry(model: PublicModel, folder: Path) -> list[Path]:
    """Write a file for each that an entry downloads."""
    writers: dict[str, Callable[[PublicModel, Path], None]] = {
        "spleeter": _write_spleeter,
        "open_unmix": _write_open_unmix,
    }
    writers.get(model.architecture, _write_network)(model, folder)
    if model.settings_file:
        _write_settings(model, folder / model.settings_file.name)
    return [folder / file.name for file in model.downloads]


def _write_spleeter(model: PublicModel, folder: Path) -> None:
    with tarfile.open(folder / model.files[0].name, "w:gz") as archive:
        for part in (SPLEETER / f"{len(model.stems)}stems").glob("model.*"):
            archive.add(part, f"./{part.name}")


def _write_open_unmix(model: PublicModel, folder: Path) -> None:
    targets = network_of(model).get_submodule("targets").children()
    for file, target in zip(model.files, targets, strict=True):
        torch.save(target.state_dict(), folder / file.name)


def _write_network(model: PublicModel, folder: Path) -> None:
    tensors: Any = published_tensors(network_of(model))
    (file,) = model.files
    if file.name.endswith(".th"):
        arguments = {"cac": False} if model.variant == "amplitude spectrogram" else {}
        package = Published(model.architecture, {}, arguments=arguments, stems=model.stems)
        tensors = as_package(package, tensors)
    if file.name.endswith(".safetensors"):
        save_file({name: value.clone() for name, value in tensors.items()}, folder / file.name)
    else:
        torch.save(tensors, folder / file.name)


def _write_settings(model: PublicModel, path: Path) -> None:
    others = [model.residual] if model.residual else []
    content = {
        "audio": {"chunk_size": YAML_CHUNK, "hop_length": 1, "sample_rate": model.sample_rate},
        "model": {"stft_hop_length": YAML_HOP, "stereo": model.options.channels == 2},
        "training": {"instruments": [*model.stems, *others]},
        "inference": {"num_overlap": 4},
    }
    if others:
        content["training"]["target_instrument"] = model.stems[0]
    path.write_text(yaml.safe_dump(content))

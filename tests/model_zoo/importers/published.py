"""Small networks as their authors' programs store them: names of tensors, configuration files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from model_zoo import registry
from model_zoo.separator import Separator
from tests.model_zoo.blocks.weights import fill

BINS = (3, 4, 10, 16, 32, 64)
ROFORMER = {
    **{"hidden_channels": 12, "num_layers": 2, "num_heads": 2, "head_channels": 6, "dropout": 0.0},
    **{"window_size": 256, "hop_size": 60, "sample_rate": 16_000, "segment": 2000},
    "zero_dc": True,  # the default of Music-Source-Separation-Training, which no file states
}
ROFORMER_FILE = {
    **{"dim": 12, "depth": 2, "heads": 2, "dim_head": 6, "stereo": True, "num_stems": 1},
    **{"stft_n_fft": 256, "stft_hop_length": 60, "stft_win_length": 256, "flash_attn": True},
    **{"time_transformer_depth": 1, "freq_transformer_depth": 1, "mask_estimator_depth": 2},
}
SCNET = {
    **{"widths": (8, 12), "num_layers": 2, "conv_depths": (2, 1, 1), "audio_channels": 2},
    **{"window_size": 256, "hop_size": 64, "sample_rate": 16_000, "segment": 8000},
}
SCNET_FILE = {
    **{"audio_channels": 2, "dims": [4, 8, 12], "nfft": 256, "win_size": 256, "hop_size": 64},
    **{"normalized": True, "band_SR": [0.175, 0.392, 0.433], "band_stride": [1, 4, 16]},
    **{"band_kernel": [3, 4, 16], "conv_depths": [2, 1, 1], "compress": 4, "conv_kernel": 3},
    **{"num_dplayer": 2, "expand": 1, "sources": ["ignored"]},
}
MDX23C = {
    **{"num_bins": 128, "num_subbands": 2, "num_scales": 3, "num_blocks": 2},
    **{"hidden_channels": 8, "growth": 4, "bottleneck_factor": 2},
    **{"window_size": 256, "hop_size": 64, "sample_rate": 16_000, "segment": 8000},
}
MDX23C_AUDIO = {
    **{"num_channels": 2, "dim_f": 128, "dim_t": 256, "n_fft": 256, "hop_length": 64},
    **{"sample_rate": 16_000, "chunk_size": 8000},
}
MDX23C_FILE = {
    **{"num_subbands": 2, "num_scales": 3, "scale": [2, 2], "num_blocks_per_scale": 2},
    **{"num_channels": 8, "growth": 4, "bottleneck_factor": 2, "act": "gelu"},
}
HTDEMUCS = {
    **{"channels": 8, "depth": 2, "window_size": 128, "dconv_comp": 4, "bottom_channels": 24},
    **{"t_layers": 3, "t_heads": 2, "t_hidden_scale": 2.0, "t_dropout": 0.0},
    **{"sample_rate": 16_000, "segment": 2048, "dconv_mode": "both"},
}
HTDEMUCS_ARGUMENTS = {"t_heads": 2, "samplerate": 16_000, "segment": 0.128, "t_dropout": 0.0}
HDEMUCS = {
    **{"channels": 8, "depth": 4, "window_size": 256, "norm_starts": 2, "dconv_lstm": 2},
    **{"dconv_attn": 2, "sample_rate": 16_000, "segment": 2048},
}
HDEMUCS_ARGUMENTS = {"samplerate": 16_000, "segment": 0.128}


@dataclass(frozen=True)
class Published:
    """A network and what is published beside its tensors.

    Attributes:
        architecture: its name here.
        options: its options here.
        model: section ``model`` of the configuration file.
        audio: section ``audio``.
        arguments: arguments in a package of Demucs.
        stems: its stems.
    """

    architecture: str
    options: Mapping[str, Any]
    model: Mapping[str, Any] = field(default_factory=dict)
    audio: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Any] | None = None
    stems: tuple[str, ...] = ("vocals",)

    def network(self) -> Separator:
        """Our network with weights by formula."""
        return fill(registry.build(self.architecture, {**self.options, "stems": [*self.stems]}))

    def with_options(self, options: Mapping[str, Any], model: Mapping[str, Any]) -> Published:
        """A variant."""
        arguments = None if self.arguments is None else {**self.arguments, **model}
        return Published(
            self.architecture,
            {**self.options, **options},
            {**self.model, **model},
            self.audio,
            arguments,
            self.stems,
        )

    def settings(self, **changes: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration file as plain data; changes are by section."""
        target = {"target_instrument": "Vocals"} if len(self.stems) == 1 else {}
        instruments = ["Vocals", "other"] if len(self.stems) == 1 else [*self.stems]
        sections: dict[str, dict[str, Any]] = {
            "audio": {"chunk_size": self.options["segment"], "sample_rate": 16_000, **self.audio},
            "model": {**self.model},
            "training": {"instruments": instruments, **target},
            "inference": {"num_overlap": 4},
        }
        return {name: {**each, **changes.get(name, {})} for name, each in sections.items()}

    def write_settings(self, folder: Path, **changes: Mapping[str, Any]) -> Path | None:
        """Write the configuration file; None for networks that have none."""
        if self.arguments is not None:
            return None
        path = folder / "network.yaml"
        path.write_text(yaml.safe_dump(self.settings(**changes)))
        return path


FOUR = ("drums", "bass", "other", "vocals")
MEL = Published(
    "mel_band_roformer",
    {**ROFORMER, "num_bands": 10, "norm": "each"},
    {**ROFORMER_FILE, "num_bands": 10, "sample_rate": 16_000},
)
BS = Published(
    "bs_roformer",
    {**ROFORMER, "bins_per_band": BINS, "norm": "final"},
    {**ROFORMER_FILE, "freqs_per_bands": [*BINS]},
)
NETWORKS = {
    "mel": MEL,
    "bs": BS,
    "scnet": Published("scnet", SCNET, SCNET_FILE, stems=FOUR),
    "mdx23c": Published(
        "mdx23c",
        {**MDX23C, "norm": "InstanceNorm"},
        {**MDX23C_FILE, "norm": "InstanceNorm"},
        MDX23C_AUDIO,
        stems=("vocals", "instrumental"),
    ),
    "htdemucs": Published("htdemucs", HTDEMUCS, arguments=HTDEMUCS_ARGUMENTS, stems=FOUR),
    "hdemucs": Published("hdemucs", HDEMUCS, arguments=HDEMUCS_ARGUMENTS, stems=FOUR),
}


def published_tensors(network: Separator) -> dict[str, Tensor]:
    """Tensors of a network by the names that its authors' programs use."""
    tensors = {
        name.removeprefix("network."): value
        for name, value in network.state_dict().items()
        if name != "fourier.window"
    }
    heads = [name for name in tensors if name.endswith(".0.to_qkv.weight")]
    width = getattr(network.config, "head_channels", 0)
    freqs = 10_000.0 ** -(torch.arange(0, width, 2) / max(1, width))
    return tensors | {name.replace("to_qkv.weight", "rotary_embed.freqs"): freqs for name in heads}


Change = Callable[[dict[str, Tensor]], Any]


def write(
    published: Published, folder: Path, name: str = "network.ckpt", change: Change = dict
) -> tuple[Path, Path | None, Separator]:
    """Write a checkpoint and its configuration file; return both paths and the network."""
    network = published.network()
    content = change(published_tensors(network))
    if published.arguments is not None and change is dict:
        content = as_package(published, content)
    torch.save(content, folder / name)
    return folder / name, published.write_settings(folder), network


def as_package(published: Published, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """A package of Demucs whose class is a text, as the checkpoint's reader gives it."""
    classes = {"htdemucs": "demucs.htdemucs.HTDemucs", "hdemucs": "demucs.hdemucs.HDemucs"}
    return {
        "klass": classes[published.architecture],
        "args": (),
        "kwargs": {"sources": [*published.stems], **(published.arguments or {})},
        "state": dict(state),
        "training_args": {"lr": 3e-4, "nested": {"a": [1, None]}},
    }

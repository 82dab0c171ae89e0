"""SCNet: options from the names and shapes of tensors and from a configuration file.

Checkpoints come from the authors' program (github.com/starrytong/SCNet) and from
Music-Source-Separation-Training. Shares and strides of the bands are not in the tensors; only the
shares of the smaller published network are assumed without a file, those of its widths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from model_zoo.errors import CheckpointError
from model_zoo.importers.family import (
    Checkpoint,
    Choices,
    Family,
    ForeignNetwork,
    Shapes,
    count,
    msst_network,
    named_stems,
    shape,
)
from model_zoo.importers.settings import CHUNK
from model_zoo.importers.statements import (
    OptionNames,
    channels,
    chosen,
    combined,
    ratios,
    required,
    stated,
    whole,
    wholes,
)
from model_zoo.option_names import option
from model_zoo.parsing import shortened
from model_zoo.weight_checks import shapes_of

STEMS = (("drums", "bass", "other", "vocals"),)
"""Stems of the authors' networks, in order."""

RATIOS = (0.175, 0.392, 0.433)
"""Shares of the bands of the authors' smaller network, which are the default of both programs."""

PUBLISHED = {(32, 64, 128): {"band_ratios": RATIOS}}
"""What tensors do not tell of the authors' network with these widths."""

STFT = {"window_size": 4096, "hop_size": 1024, "normalized": True}
"""STFT of all published networks, and the default of both programs."""

BANDS = 3
TRANSFORMER = re.compile(r"separation_net\.dp_modules\.\d+\.(time|freq)_layer\..*")
"""Tensors that only the variant with transformers in place of recurrent layers has."""

FIRST = "encoder.0.SDlayer.convs.0.weight"


def widths(dims: Any) -> tuple[int, ...]:
    """Features of each level from the authors' list, which begins with the values of a bin.

    Raises:
        ValueError: it is not such a list.
    """
    return wholes(dims)[1:]


NAMES = (
    OptionNames("model.audio_channels", "audio_channels", whole),
    OptionNames("model.stereo", "audio_channels", channels),
    OptionNames("model.dims", "widths", widths),
    OptionNames("model.nfft", "window_size", whole),
    OptionNames("model.win_size", "window_size", whole),
    OptionNames("model.hop_size", "hop_size", whole),
    OptionNames("model.normalized", "normalized"),
    OptionNames("model.band_SR", "band_ratios", ratios),
    OptionNames("model.band_stride", "band_strides", wholes),
    OptionNames("model.band_kernel", "band_kernels", wholes),
    OptionNames("model.conv_depths", "conv_depths", wholes),
    OptionNames("model.compress", "compress", whole),
    OptionNames("model.conv_kernel", "conv_kernel", whole),
    OptionNames("model.num_dplayer", "num_layers", whole),
    OptionNames("model.expand", "expand", whole),
    OptionNames("audio.sample_rate", "sample_rate", whole),
    OptionNames(CHUNK, "segment", whole),
)
"""Options by their names in configuration files."""


def recognizes(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of an SCNet."""
    return FIRST in tensors


def read(checkpoints: Sequence[Checkpoint], choices: Choices) -> ForeignNetwork:
    """The network in a checkpoint.

    Raises:
        CheckpointError: it is a variant that does not exist here, or a tensor is missing.
        ConfigError: an option is unknown, or contradicts the tensors.
    """
    (checkpoint,) = checkpoints
    shapes = shapes_of(checkpoint.tensors)
    _refuse_transformers(checkpoint)
    statements = stated(choices.settings.values, NAMES, option("config"))
    config = combined(_sizes(shapes), statements, chosen(choices.options))
    config = {**_usual(config), **STFT, **config}
    if choices.settings.values:
        config = {"band_ratios": RATIOS, **config}
    required(config, {"band_ratios": None}, checkpoint.path)
    stems = named_stems(_outputs(shapes, config), choices, checkpoint.path, STEMS)
    tensors = {f"network.{name}": value for name, value in checkpoint.tensors.items()}
    return msst_network("scnet", config, tensors, stems, choices)


def _refuse_transformers(checkpoint: Checkpoint) -> None:
    name = next(filter(TRANSFORMER.fullmatch, checkpoint.tensors), "")
    if name:
        raise CheckpointError(
            f"{checkpoint.path} holds an SCNet with transformers, which does not exist here "
            f"(tensor {shortened(name)}). Convert one without"
        )


def _sizes(shapes: Shapes) -> dict[str, Any]:
    """Options that names and shapes tell."""
    levels = [_level(shapes, number) for number in range(count(shapes, "encoder."))]
    _, values, _, _ = shape(shapes, FIRST, 4)
    block = "encoder.0.conv_modules.0.layers.0"
    doubled, width, kernel = shape(shapes, f"{block}.1.weight", 3)
    _, state = shape(shapes, "separation_net.dp_modules.0.lstm_layers.0.weight_hh_l0", 2)
    bins = shapes.get("pos_embed_f", ())
    convs = [shape(shapes, f"encoder.0.SDlayer.convs.{band}.weight", 4) for band in range(BANDS)]
    depths = (count(shapes, f"encoder.0.conv_modules.{band}.layers.") for band in range(BANDS))
    found = {
        "audio_channels": values // 2,
        "widths": tuple(levels),
        "band_kernels": tuple(conv[2] for conv in convs),
        "conv_depths": tuple(depths),
        "compress": width // max(1, doubled // 2),
        "conv_kernel": kernel,
        "num_layers": count(shapes, "separation_net.dp_modules."),
        "expand": max(1, state // levels[-1]),
        "output": "mask" if bins else "map",
    }
    return found | ({"window_size": 2 * (bins[2] - 1)} if len(bins) == 4 else {})


def _level(shapes: Shapes, number: int) -> int:
    return shape(shapes, f"encoder.{number}.globalconv.weight", 4)[0]


def _usual(config: Mapping[str, Any]) -> dict[str, Any]:
    """Strides of the bands, which are those of their kernels but for the low one, and the rest."""
    _, *kernels = config["band_kernels"]
    return {"band_strides": (1, *kernels), **PUBLISHED.get(config["widths"], {})}


def _outputs(shapes: Shapes, config: Mapping[str, Any]) -> int:
    """Number of stems, by the values that the decoder gives for a bin."""
    last = f"decoder.{count(shapes, 'decoder.') - 1}.1.convtrs.0.weight"
    return shape(shapes, last, 4)[1] // max(1, 2 * config["audio_channels"])


FAMILY = Family("SCNet", recognizes, read)

"""MDX23C: options from the names and shapes of tensors and from a configuration file.

Checkpoints come from KUIELab's program and from Music-Source-Separation-Training, whose files have
the sections ``audio`` and ``model``. Window and hop are not in the tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

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
    chosen,
    combined,
    required,
    stated,
    whole,
    wholes,
)
from model_zoo.option_names import option
from model_zoo.weight_checks import shapes_of

MARKS = {"first_conv.weight", "final_conv.0.weight", "encoder_blocks.0.downscale.conv.2.weight"}

NAMES = (
    OptionNames("audio.num_channels", "audio_channels", whole),
    OptionNames("audio.dim_f", "num_bins", whole),
    OptionNames("audio.n_fft", "window_size", whole),
    OptionNames("audio.hop_length", "hop_size", whole),
    OptionNames("audio.sample_rate", "sample_rate", whole),
    OptionNames("model.num_subbands", "num_subbands", whole),
    OptionNames("model.num_scales", "num_scales", whole),
    OptionNames("model.scale", "scale", wholes),
    OptionNames("model.num_blocks_per_scale", "num_blocks", whole),
    OptionNames("model.num_channels", "hidden_channels", whole),
    OptionNames("model.growth", "growth", whole),
    OptionNames("model.bottleneck_factor", "bottleneck_factor", whole),
    OptionNames("model.norm", "norm"),
    OptionNames("model.act", "activation"),
    OptionNames(CHUNK, "segment", whole),
)
"""Options by their names in configuration files."""


def recognizes(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of an MDX23C."""
    return tensors.keys() >= MARKS


def read(checkpoints: Sequence[Checkpoint], choices: Choices) -> ForeignNetwork:
    """The network in a checkpoint.

    Raises:
        CheckpointError: a tensor is missing.
        ConfigError: an option is unknown, or contradicts the tensors.
    """
    (checkpoint,) = checkpoints
    shapes = shapes_of(checkpoint.tensors)
    statements = stated(choices.settings.values, NAMES, option("config"))
    known = combined({}, statements, chosen(choices.options))
    seen = _sizes(shapes, max(1, known.get("audio_channels", 2)))
    config = combined(seen, statements, chosen(choices.options))
    required(config, {"window_size": None, "hop_size": None}, checkpoint.path)
    values = shape(shapes, "first_conv.weight", 4)[1]
    outputs = shape(shapes, "final_conv.2.weight", 4)[0] // values
    stems = named_stems(outputs, choices, checkpoint.path)
    tensors = {f"network.{name}": value for name, value in checkpoint.tensors.items()}
    return msst_network("mdx23c", config, tensors, stems, choices)


def _sizes(shapes: Shapes, channels: int) -> dict[str, Any]:
    """Options that names and shapes tell, given the audio channels."""
    hidden, values, _, _ = shape(shapes, "first_conv.weight", 4)
    wider, _, *scale = shape(shapes, "encoder_blocks.0.downscale.conv.2.weight", 4)
    block = "encoder_blocks.0.tfc_tdf.blocks"
    inner, bins = shape(shapes, f"{block}.0.tdf.2.weight", 2)
    subbands = values // (2 * channels)
    is_batch = f"{block}.0.tfc1.0.running_mean" in shapes
    return {
        "audio_channels": channels,
        "num_bins": bins * subbands,
        "num_subbands": subbands,
        "num_scales": count(shapes, "encoder_blocks."),
        "scale": tuple(scale),
        "num_blocks": count(shapes, f"{block}."),
        "hidden_channels": hidden,
        "growth": wider - hidden,
        "bottleneck_factor": bins // inner,
        **({"norm": "BatchNorm"} if is_batch else {}),
    }


FAMILY = Family("MDX23C", recognizes, read)

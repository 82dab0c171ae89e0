"""Demucs v3 and v4: options from names and shapes of tensors and from the arguments in the file.

The authors publish packages (``.th``) with the class of the network, its arguments and its state
(demucs/states.py, MIT), and safetensors files with class and arguments as JSON in their metadata
(demucs/hf.py). Others re-publish the tensors alone. Names of tensors are those here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from torch import Tensor

from model_zoo.errors import CheckpointError, ConfigError
from model_zoo.importers.family import (
    Checkpoint,
    Choices,
    Family,
    ForeignNetwork,
    Shapes,
    count,
    named_stems,
    shape,
    stem_name,
)
from model_zoo.importers.statements import (
    OptionNames,
    chosen,
    combined,
    number,
    ratios,
    stated,
    whole,
)
from model_zoo.option_names import option
from model_zoo.parsing import shown
from model_zoo.weight_checks import shapes_of

SIX = ("drums", "bass", "other", "vocals", "guitar", "piano")
STEMS = (SIX[:4], SIX)
"""Stems of the published networks, in order."""

HEADS = {"num_heads": "t_heads"}
"""The name of an option that other networks have too, and the authors' name."""

RATE = 44_100
SECONDS = {"htdemucs": Fraction(39, 5), "hdemucs": Fraction(40)}
"""Length of a chunk: of the published htdemucs, and the default of demucs' HDemucs."""

LONGEST = 120
"""Longest chunk in seconds."""

MOST_LEVELS = 8
"""Most levels whose window is computed; the usual ones have five."""

BINS_PER_ROW = 8
"""Samples of the window per row of the embedding: two per bin, and four bins per row."""


def dconv_mode(value: Any) -> str:
    """Where residual branches are, from the sum of 1 (encoder) and 2 (decoder).

    Raises:
        ValueError: it is no such sum, or there are none.
    """
    modes = {1: "encoder", 2: "decoder", 3: "both"}
    if value not in (1, 2, 3):
        raise ValueError("1, 2 or 3")
    return modes[value]


def output(cac: Any) -> str:
    """What the network estimates, from whether complex numbers are channels (``cac``)."""
    return "spectrum" if cac else "magnitude"


COMMON = (
    OptionNames("audio_channels", "audio_channels", whole),
    OptionNames("channels", "channels", whole),
    OptionNames("nfft", "window_size", whole),
    OptionNames("depth", "depth", whole),
    OptionNames("dconv_mode", "dconv_mode", dconv_mode),
    OptionNames("dconv_depth", "dconv_depth", whole),
    OptionNames("samplerate", "sample_rate", whole),
)
TRANSFORMER = (
    *COMMON,
    OptionNames("bottom_channels", "bottom_channels", lambda value: whole(value) or None),
    OptionNames("t_layers", "t_layers", whole),
    OptionNames("t_heads", "t_heads", whole),
    OptionNames("t_dropout", "t_dropout", number),
)
HYBRID = (
    *COMMON,
    OptionNames("cac", "output", output),
    OptionNames("hybrid_old", "hybrid_old", bool),
    OptionNames("multi_freqs", "multi_freqs", ratios),
    OptionNames("multi_freqs_depth", "multi_freqs_depth", whole),
    OptionNames("freq_emb", "freq_emb", number),
)
"""Arguments of both networks that are options here."""

FIXED: dict[str, tuple[Any, ...]] = {
    **{"growth": (2,), "rewrite": (True,), "kernel_size": (8,), "stride": (4,)},
    **{"time_stride": (2,), "context": (1,), "context_enc": (0,), "norm_groups": (4,)},
    **{"emb_scale": (10,), "wiener_iters": (0,), "end_iters": (0,), "wiener_residual": (False,)},
    **{"channels_time": (None,), "hybrid": (True,)},
}
FIXED_TRANSFORMER: dict[str, tuple[Any, ...]] = {
    **{"cac": (True,), "multi_freqs": (None, [], ()), "freq_emb": (0.2,), "t_emb": ("sin",)},
    **{"t_norm_in": (True,), "t_norm_in_group": (False,), "t_group_norm": (False,)},
    **{"t_norm_first": (True,), "t_norm_out": (True,), "t_max_period": (10_000,)},
    **{"t_layer_scale": (True,), "t_gelu": (True,), "t_weight_pos_embed": (1,)},
    **{"t_sparse_self_attn": (False,), "t_sparse_cross_attn": (False,), "t_cross_first": (False,)},
}
"""Arguments that change what a network computes, and the values that it is built for here."""


def recognizes(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of a hybrid Demucs."""
    start = ("encoder.0.conv.weight", "encoder.0.layers.0.conv.weight")
    return "tencoder.0.conv.weight" in tensors and any(name in tensors for name in start)


def read(checkpoints: Sequence[Checkpoint], choices: Choices) -> ForeignNetwork:
    """The network in a checkpoint.

    Raises:
        CheckpointError: a tensor is missing.
        ConfigError: an argument is not that of a network here, or contradicts the tensors.
    """
    (checkpoint,) = checkpoints
    shapes = shapes_of(checkpoint.tensors)
    is_transformer = any(name.startswith("crosstransformer.") for name in shapes)
    architecture = "htdemucs" if is_transformer else "hdemucs"
    arguments = dict(checkpoint.notes.get("kwargs", {}))
    _check_arguments(arguments, is_transformer)
    names = TRANSFORMER if is_transformer else HYBRID
    seen = _transformer(shapes) if is_transformer else _hybrid(shapes)
    statements = stated(arguments, names, checkpoint.path.name)
    options = {HEADS.get(name, name): value for name, value in choices.options.items()}
    config = {"sample_rate": RATE} | combined(seen, statements, chosen(options))
    config.setdefault("segment", _segment(arguments, SECONDS[architecture], config["sample_rate"]))
    config["stems"] = [*_stems(checkpoint, _outputs(shapes, config), choices)]
    return ForeignNetwork(
        architecture,
        config,
        checkpoint.tensors,
        is_whole=True,
        overlap=0.25,
        grid="htdemucs" if is_transformer else "hdemucs",
        level="standard",
    )


def _check_arguments(arguments: Mapping[str, Any], is_transformer: bool) -> None:
    allowed = FIXED | (FIXED_TRANSFORMER if is_transformer else {})
    for name, values in allowed.items():
        if name in arguments and arguments[name] not in values:
            raise CheckpointError(
                f"The checkpoint holds a Demucs with {name}={shown(arguments[name])}, which does "
                f"not exist here. Convert one with {name}={values[0]}"
            )


def _common(shapes: Shapes, first: str, planes_per_channel: int) -> dict[str, Any]:
    """Options that all levels show.

    Args:
        shapes: of the tensors.
        first: name of the first level.
        planes_per_channel: planes of the spectrogram per audio channel.
    """
    width, planes, _, _ = shape(shapes, f"{first}.conv.weight", 4)
    found: dict[str, Any] = {
        "channels": width,
        "audio_channels": planes // planes_per_channel,
        "depth": count(shapes, "encoder."),
    }
    sides = [side for side in ("encoder", "decoder") if _branches(shapes, side)]
    if sides:
        branch = _branches(shapes, sides[0])[0].removesuffix("0.0.weight")
        hidden, features, _ = shape(shapes, f"{branch}0.0.weight", 3)
        found["dconv_mode"] = "both" if len(sides) > 1 else sides[0]
        found["dconv_depth"] = count(shapes, branch)
        found["dconv_comp"] = features // hidden
    return found


def _branches(shapes: Shapes, side: str) -> list[str]:
    """First convolutions of the residual branches of encoder or decoder."""
    pattern = re.compile(rf"{side}\.\d+\.(layers\.\d+\.)?dconv\.layers\.0\.0\.weight")
    return [name for name in shapes if pattern.fullmatch(name)]


def _transformer(shapes: Shapes) -> dict[str, Any]:
    """Options of an HTDemucs."""
    found = _common(shapes, "encoder.0", 2)
    rows, _ = shape(shapes, "freq_emb.embedding.weight", 2)
    hidden, width = shape(shapes, "crosstransformer.layers.0.linear1.weight", 2)
    bottom = shapes.get("channel_upsampler.weight")
    return found | {
        "window_size": BINS_PER_ROW * rows,
        "bottom_channels": bottom[0] if bottom else None,
        "t_layers": count(shapes, "crosstransformer.layers."),
        "t_hidden_scale": hidden / width,
    }


def _hybrid(shapes: Shapes) -> dict[str, Any]:
    """Options of an HDemucs."""
    pattern = re.compile(r"encoder\.(\d+)\.layers\.0\.conv\.weight")
    banded = len({name for name in shapes if pattern.fullmatch(name)})
    first = "encoder.0.layers.0" if banded else "encoder.0"
    _, planes, _, _ = shape(shapes, f"{first}.conv.weight", 4)
    _, channels, _ = shape(shapes, "tencoder.0.conv.weight", 3)
    is_complex = planes != channels
    depth = count(shapes, "encoder.")
    return _common(shapes, first, 2 if is_complex else 1) | {
        "window_size": 4 ** (min(count(shapes, "tencoder."), MOST_LEVELS) + 1),
        "output": "spectrum" if is_complex else "magnitude",
        "norm_starts": _first_level(shapes, r"(layers\.\d+\.)?norm1\.weight", depth),
        "dconv_lstm": _first_level(shapes, r"dconv\.layers\.0\.3\.lstm\..*", depth),
        "dconv_attn": _first_level(shapes, r"dconv\.layers\.0\.\d\.content\.weight", depth),
        **({} if "freq_emb.embedding.weight" in shapes else {"freq_emb": 0.0}),
        **({"multi_freqs_depth": banded} if banded else {"multi_freqs": ()}),
    }


def _first_level(shapes: Shapes, pattern: str, depth: int) -> int:
    """First level of the encoder with such tensors; the number of levels if there is none."""
    whole_name = re.compile(rf"(?:en|de)coder\.(\d+)\.{pattern}")
    levels = [
        int(found[1]) if name[0] == "e" else depth - 1 - int(found[1])
        for name in shapes
        if (found := whole_name.fullmatch(name))
    ]
    return max(1, min(levels, default=depth))


def _outputs(shapes: Shapes, config: Mapping[str, Any]) -> int:
    """Number of stems, by the channels of the waveforms that the network gives."""
    last = f"tdecoder.{count(shapes, 'tdecoder.') - 1}.conv_tr.weight"
    return shape(shapes, last, 3)[1] // max(1, config["audio_channels"])


def _stems(checkpoint: Checkpoint, outputs: int, choices: Choices) -> tuple[str, ...]:
    """Names of the stems: the user's, those of the arguments, or those of published networks."""
    args = checkpoint.notes.get("args") or ()
    sources = checkpoint.notes.get("kwargs", {}).get("sources") or (args[0] if args else ())
    if not isinstance(sources, (list, tuple)) or not all(isinstance(x, str) for x in sources):
        sources = ()
    known = (tuple(map(stem_name, sources)), *STEMS)
    return named_stems(outputs, choices, checkpoint.path, known)


def _segment(arguments: Mapping[str, Any], usual: Fraction, rate: int) -> int:
    """Length of a chunk in samples."""
    seconds = arguments.get("segment", usual)
    is_number = isinstance(seconds, (int, float, Fraction)) and not isinstance(seconds, bool)
    if not is_number or not 0 < seconds < LONGEST:
        mistake = f"segment must be a number of seconds, found {shown(seconds)}"
        raise ConfigError(option("segment"), [mistake])
    return int(seconds * rate)


FAMILY = Family("Demucs", recognizes, read)

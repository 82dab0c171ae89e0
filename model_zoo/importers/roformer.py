"""Public RoFormers: options from the names and shapes of tensors and from a configuration file.

The checkpoints come from lucidrains' BS-RoFormer and from Music-Source-Separation-Training. Whether
bands are those of Mel-Band RoFormer or of BS-RoFormer shows in the tensors: bins per band, and the
places of norms. File names are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from model_zoo.architectures.band_split_roformer import (
    BINS_PER_BAND,
    MelBandRoFormerConfig,
)
from model_zoo.errors import CheckpointError, ConfigError
from model_zoo.importers.family import (
    Checkpoint,
    Choices,
    Family,
    ForeignNetwork,
    Shapes,
    Tensors,
    count,
    msst_network,
    named_stems,
    shape,
)
from model_zoo.importers.settings import CHUNK
from model_zoo.importers.statements import (
    OptionNames,
    Statement,
    channels,
    chosen,
    combined,
    required,
    stated,
    whole,
    wholes,
)
from model_zoo.option_names import option
from model_zoo.parsing import shortened
from model_zoo.weight_checks import shapes_of

MARKS = {"band_split.to_features.0.0.gamma", "mask_estimators.0.to_freqs.0.0.0.weight"}
"""Tensors that together only these networks have."""

VARIANTS = {
    r"value_residual_mix": "residuals of values",
    r"pope_embed": "PoPE position embeddings",
    r"\.(branch|static_alpha|dynamic_alpha\w*)\b": "hyper-connections",
    r"\.segm\.": "a mask estimator with convolutions",
    r"^mask_estimators\.\d+\.(layers|norm)\.": "mask estimators with transformers",
    r"\.(ff1|ff2|conv)\.": "conformers",
    r"^layers\.\d+\.2\.": "a linear transformer, or the layout of later versions",
}
"""Parts of names that only variants have which do not exist here."""

CONSTANTS = re.compile(r".*\.rotary_embed\.freqs|linear_\d+_bias_\d+")
"""Tensors that are computed here, and leftovers of an export that nothing uses."""

PART = r"layers\.\d+\.[01]\."
KNOWN = re.compile(
    rf"{PART}layers\.\d+\.0\.(norm\.gamma|to_(qkv|gates|out\.0)\.(weight|bias))"
    rf"|{PART}layers\.\d+\.1\.net\.(0\.gamma|[14]\.(weight|bias))"
    rf"|{PART}norm\.gamma|final_norm\.gamma"
    r"|band_split\.to_features\.\d+\.(0\.gamma|1\.(weight|bias))"
    r"|mask_estimators\.\d+\.to_freqs\.\d+\.0\.\d+\.(weight|bias)"
)
"""Names of the tensors of both architectures."""

NAMES = (
    OptionNames("model.dim", "hidden_channels", whole),
    OptionNames("model.depth", "num_layers", whole),
    OptionNames("model.heads", "num_heads", whole),
    OptionNames("model.dim_head", "head_channels", whole),
    OptionNames("model.time_transformer_depth", "time_blocks", whole),
    OptionNames("model.freq_transformer_depth", "freq_blocks", whole),
    OptionNames("model.mlp_expansion_factor", "mask_expansion", whole),
    OptionNames("model.stereo", "audio_channels", channels),
    OptionNames("model.skip_connection", "skip_connection"),
    OptionNames("model.zero_dc", "zero_dc"),
    OptionNames("model.stft_n_fft", "window_size", whole),
    OptionNames("model.stft_hop_length", "hop_size", whole),
    OptionNames(CHUNK, "segment", whole),
)
"""Options by their names in configuration files; networks ignore ``audio.hop_length`` there.
``model.stft_normalized`` changes nothing, because each band is normalized before it is used."""

MEL_NAMES = (
    *NAMES,
    OptionNames("model.num_bands", "num_bands", whole),
    OptionNames("model.mask_estimator_depth", "mask_layers", lambda depth: whole(depth) + 1),
)
BS_NAMES = (
    *NAMES,
    OptionNames("model.freqs_per_bands", "bins_per_band", wholes),
    OptionNames("model.mask_estimator_depth", "mask_layers", whole),
)
"""The depth of mask estimators counts hidden layers in one network, linear ones in the other."""

USUAL = {"hop_size": 441}
"""What neither tensors nor their widths tell, and its most frequent value."""

MSST = {"zero_dc": True, "skip_connection": False}
"""What networks of Music-Source-Separation-Training (msst 0.1.0) do if nothing is stated."""

MSST_SETTINGS = {"hop_size": 512}
"""What they do if a configuration file is silent."""

MEL_USUAL = {"window_size": 2048, "sample_rate": 44_100}
"""What nearly all networks over mel bands have; the widths of the bands confirm it."""


def recognizes(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of a RoFormer over bands."""
    return tensors.keys() >= MARKS or any(re.match(r"layers\.0\.[012]\.", name) for name in tensors)


def read(checkpoints: Sequence[Checkpoint], choices: Choices) -> ForeignNetwork:
    """The network in a checkpoint.

    Raises:
        CheckpointError: it is a variant that does not exist here, or a tensor is missing.
        ConfigError: an option is unknown, or contradicts the tensors.
    """
    (checkpoint,) = checkpoints
    tensors = _own_tensors(checkpoint)
    shapes = shapes_of(tensors)
    seen = _sizes(shapes)
    stems = named_stems(count(shapes, "mask_estimators."), choices, checkpoint.path)
    widths = [*_widths(shapes)]
    is_mel = _is_mel(seen["norm"], widths)
    _require_kind(is_mel, choices)
    config = (_mel if is_mel else _bs)(seen, widths, choices)
    config = {**MSST, **(MSST_SETTINGS if choices.settings.values else {}), **config}
    required(config, USUAL, checkpoint.path)
    architecture = "mel_band_roformer" if is_mel else "bs_roformer"
    return msst_network(architecture, config, tensors, stems, choices)


def _own_tensors(checkpoint: Checkpoint) -> Tensors:
    """Tensors of the network, without constants."""
    for name, value in checkpoint.tensors.items():
        for pattern, variant in VARIANTS.items():
            if re.search(pattern, name):
                raise _variant(checkpoint, f"with {variant}", name)
        if name.endswith("rotary_embed.freqs") and not _is_usual(value):
            raise _variant(checkpoint, "with other frequencies of the rotary embedding", name)
    kept = {name: x for name, x in checkpoint.tensors.items() if not CONSTANTS.fullmatch(name)}
    for name in kept:
        if not KNOWN.fullmatch(name):
            raise _variant(checkpoint, "of another layout", name)
    return kept


def _variant(checkpoint: Checkpoint, what: str, name: str) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint.path} holds a RoFormer {what}, which does not exist here (tensor "
        f"{shortened(name)}). Convert one without"
    )


def _is_usual(freqs: Tensor) -> bool:
    """Whether frequencies of a rotary embedding are those of Su et al. 2021, to half precision."""
    if freqs.ndim != 1:
        return False
    exponents = torch.arange(len(freqs), dtype=torch.float64) / max(1, len(freqs))
    return torch.allclose(freqs.double(), 10_000.0**-exponents, rtol=0.01, atol=1e-6)


def _sizes(shapes: Shapes) -> dict[str, Any]:
    """Options that both architectures show in the same way."""
    attention = "layers.0.0.layers.0.0"
    (heads, dim), (_, inner) = (
        shape(shapes, f"{attention}.{name}.weight", 2) for name in ("to_gates", "to_out.0")
    )
    layers = count(shapes, "mask_estimators.0.to_freqs.0.0.")
    hidden, _ = shape(shapes, "mask_estimators.0.to_freqs.0.0.0.weight", 2)
    each, final = "layers.0.0.norm.gamma" in shapes, "final_norm.gamma" in shapes
    found = {
        "hidden_channels": dim,
        "num_layers": count(shapes, "layers."),
        "num_heads": heads,
        "head_channels": inner // heads,
        "time_blocks": count(shapes, "layers.0.0.layers."),
        "freq_blocks": count(shapes, "layers.0.1.layers."),
        "mask_layers": layers,
        "norm": "both" if each and final else "each" if each else "final",
        "attention_bias": f"{attention}.to_qkv.bias" in shapes,
    }
    # A single linear layer has no hidden width.
    return found | ({"mask_expansion": hidden // dim} if layers > 1 else {})


def _widths(shapes: Shapes) -> Iterator[int]:
    """Values of every band: real and imaginary parts of its bins in all channels."""
    for band in range(count(shapes, "band_split.to_features.")):
        (width,) = shape(shapes, f"band_split.to_features.{band}.0.gamma", 1)
        yield width


def _is_mel(norm: str, widths: Sequence[int]) -> bool:
    """Whether bands overlap. Adjacent ones hold each bin once, a bin more than a power of two."""
    if norm != "both":
        return norm == "each"
    bins = sum(widths) // (2 * _channels(widths))
    return bins < 2 or (bins - 1) & (bins - 2) != 0


def _require_kind(is_mel: bool, choices: Choices) -> None:
    """Refuse the configuration file of the other network: each has its own option for bands."""
    kind, bands = (
        ("BS-RoFormer", "freqs_per_bands") if is_mel else ("Mel-Band RoFormer", "num_bands")
    )
    if choices.settings.values.get(f"model.{bands}") is not None:
        mistake = f"model.{bands} is an option of {kind}, but the tensors are those of the other"
        raise ConfigError(option("config"), [mistake])


def _channels(widths: Sequence[int]) -> int:
    """Audio channels of adjacent bands, whose number of bins is odd for usual windows."""
    return 2 if sum(widths) % 4 == 0 else 1


def _bs(seen: dict[str, Any], widths: Sequence[int], choices: Choices) -> dict[str, Any]:
    """Options of a network over adjacent bands."""
    statements = _stated(choices, BS_NAMES)
    by_user = combined({}, statements, chosen(choices.options))
    channels = by_user.get("audio_channels", _channels(widths))
    bins = tuple(width // (2 * channels) for width in widths)
    bands = {"bins_per_band": bins, "window_size": 2 * (sum(bins) - 1)}
    config = combined(seen | bands, statements, chosen(choices.options))
    config = {"audio_channels": channels, "sample_rate": MEL_USUAL["sample_rate"]} | config
    return config | ({"bins_per_band": ()} if bins == BINS_PER_BAND else {})


def _mel(seen: dict[str, Any], widths: Sequence[int], choices: Choices) -> dict[str, Any]:
    """Options of a network over mel bands, whose widths must be those of its window and rate."""
    bands = seen | {"num_bands": len(widths)}
    config = MEL_USUAL | combined(bands, _stated(choices, MEL_NAMES), chosen(choices.options))
    small = {"stems": ["stem"], "hop_size": 1, "segment": config["window_size"]}
    sizes = {name: config[name] for name in (*MEL_USUAL, "num_bands")}
    bins = MelBandRoFormerConfig.from_dict(small | sizes).members().sum(1).tolist()
    channels = config.setdefault("audio_channels", max(1, widths[0] // (2 * bins[0])))
    if [2 * channels * each for each in bins] != [*widths]:
        sizes |= {"audio_channels": channels}
        given = ", ".join(f"{name} {value}" for name, value in sizes.items())
        why = f"the mel bands of the tensors do not match {given}"
        raise ConfigError(option("config"), [f"{why}: state those they were trained with"])
    return config


def _stated(choices: Choices, names: Sequence[OptionNames]) -> list[Statement]:
    rates = ("model.sample_rate", "audio.sample_rate")
    rate = next((key for key in rates if key in choices.settings.values), rates[0])
    names = (*names, OptionNames(rate, "sample_rate", whole))
    return stated(choices.settings.values, names, option("config"))


FAMILY = Family("RoFormer", recognizes, read)

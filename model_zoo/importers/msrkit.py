"""MSRKit generators: architecture and config from the names and shapes of a state dict.

Layout: github.com/yongyizang/MSRKit (MIT). Heads and hop are not in the shapes and come from
options; the sample rate is recognized by the mel bands in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from model_zoo.blocks.spectral import mel_bank
from model_zoo.errors import CheckpointError, ConfigError
from model_zoo.importers.family import (
    Checkpoint,
    Choices,
    Family,
    ForeignNetwork,
    Shapes,
    count,
    shape,
    stem_name,
)
from model_zoo.option_names import option

USUAL_RATES = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 8_000, 88_200, 96_000, 192_000)
USUAL_HEADS = 4
BANK_TOLERANCE = 1e-6  # values of triangles computed by another library
LARGEST_BANK = 2**24
"""Largest mel filter bank in values; the usual ones have 0.1 million."""

MARK = "band.pre_bandnet.weight"


class GeneratorOptions(NamedTuple):
    """Options that the shapes of a checkpoint do not reveal; None is the usual value."""

    num_heads: int | None = None
    hop_size: int | None = None
    sample_rate: int | None = None

    @classmethod
    def of(cls, choices: Choices) -> GeneratorOptions:
        """Those that the user states."""
        return cls(*(choices.options.get(name) for name in cls._fields))


def recognizes(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of a generator."""
    return MARK in tensors


def read(checkpoints: Sequence[Checkpoint], choices: Choices) -> ForeignNetwork:
    """The generator in a checkpoint, whose only stem is named after the file.

    Raises:
        CheckpointError: the names are not those of an MSRKit generator.
        ConfigError: an option contradicts the tensors.
    """
    (checkpoint,) = checkpoints
    if len(choices.stems) > 1:
        raise ConfigError(
            option("stems", "--stem"), ["a generator of MSRKit extracts one stem: name one"]
        )
    stem = choices.stems[0] if choices.stems else stem_name(checkpoint.path.stem)
    architecture, config = infer(checkpoint.tensors, GeneratorOptions.of(choices))
    return ForeignNetwork(
        architecture, config | {"stems": [stem]}, checkpoint.tensors, residual=f"no_{stem}"
    )


def infer(tensors: Mapping[str, Tensor], options: GeneratorOptions) -> tuple[str, dict[str, Any]]:
    """Architecture and config of an MSRKit generator.

    Raises:
        CheckpointError: the names are not those of an MSRKit generator.
        ConfigError: an option contradicts the tensors.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    architecture = recognise(shapes)
    try:
        common = _common(tensors, shapes, options)
        return architecture, common | SIZES[architecture](shapes, options)
    except KeyError as error:
        raise _unknown_layout(f"there is no {error.args[0]}") from error


def recognise(shapes: Shapes) -> str:
    """Name of the architecture that the tensors belong to.

    Raises:
        CheckpointError: they belong to none.
    """
    if MARK not in shapes:
        raise _unknown_layout("there is no band.pre_bandnet.weight")
    for architecture, mark in MARKS.items():
        if mark in shapes:
            return architecture
    raise _unknown_layout(f"there is none of {', '.join(MARKS.values())}")


def _common(
    tensors: Mapping[str, Tensor], shapes: Shapes, options: GeneratorOptions
) -> dict[str, Any]:
    (window,) = _sizes(shapes, "fourier.window", 1)
    num_bands, _, width = _sizes(shapes, MARK, 3)
    _sizes(shapes, "band.filterbanks", 2)
    return {
        "hidden_channels": width,
        "num_bands": num_bands,
        "window_size": window,
        "hop_size": options.hop_size or window // 4,
        "sample_rate": sample_rate(tensors["band.filterbanks"], window, options.sample_rate),
        # The length behind MSRKit's table of 200 windows of positions.
        "segment": 200 * window,
    }


def sample_rate(bank: Tensor, window: int, wanted: int | None) -> int:
    """Sample rate in Hz whose mel bands equal ``bank``; ``wanted`` is only checked.

    Raises:
        ConfigError: ``wanted``, or without it every usual rate, has other bands.
    """
    fits = bank.shape[1] == window // 2 + 1 and bank.numel() <= LARGEST_BANK
    for rate in ([wanted] if wanted else USUAL_RATES) if fits else ():
        mel = mel_bank(rate, window, bank.shape[0])
        if torch.allclose(mel, bank.float(), atol=BANK_TOLERANCE):
            return rate
    found = f"at {wanted} Hz" if wanted else "at any usual rate"
    raise ConfigError(
        option("sample_rate"),
        [f"the checkpoint's mel bands are not those {found}. Use its real rate"],
    )


def _roformer(shapes: Shapes, options: GeneratorOptions) -> dict[str, Any]:
    return {
        "num_layers": count(shapes, "freq_blocks."),
        "num_heads": options.num_heads or USUAL_HEADS,
        "output": "mask",
    }


def _rnn(shapes: Shapes, _: GeneratorOptions) -> dict[str, Any]:
    backwards = "time_blocks.0.rnn.rnns.0.weight_ih_l0_reverse"
    return {
        "num_layers": count(shapes, "freq_blocks."),
        "num_groups": count(shapes, "freq_blocks.0.rnn.rnns."),
        "time_bidirectional": backwards in shapes,
        "output": "map",
    }


def _unet(shapes: Shapes, _: GeneratorOptions) -> dict[str, Any]:
    # MSRKit ignores the option, so that all its weights have the factor 2.
    return {
        "num_layers": count(shapes, "downsampling_blocks."),
        "upsampling_factor": 2,
        "depthwise": _sizes(shapes, MARKS["melunet"], 4)[1] == 1,
        "output": "map",
    }


MARKS: dict[str, str] = {
    "melroformer": "freq_blocks.0.att.c_attn.weight",
    "melrnn": "freq_blocks.0.rnn.rnns.0.weight_ih_l0",
    "melunet": "downsampling_blocks.0.dwconv.weight",
}
SIZES: dict[str, Callable[[Shapes, GeneratorOptions], dict[str, Any]]] = {
    "melroformer": _roformer,
    "melrnn": _rnn,
    "melunet": _unet,
}


def _unknown_layout(why: str) -> CheckpointError:
    return CheckpointError(
        f"These are not the tensors of an MSRKit generator ({why}). "
        "Convert a generator of MSRKit: MelRoFormer, MelRNN or MelUNet"
    )


_sizes = partial(shape, error=_unknown_layout)

FAMILY = Family("MSRKit", recognizes, read)

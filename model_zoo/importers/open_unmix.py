"""Open-Unmix: config and tensors of a separator from one state dict per target.

The authors publish one ``.pth`` per target, named after it: ``vocals-b62c91ce.pth``, with the first
digits of the file's SHA-256 (github.com/sigsep/open-unmix-pytorch, MIT). Files of before 2021 also
hold the STFT's window and the sample rate. Networks only differ in what their shapes tell; hop and
sample rate have the published values if neither file nor user states them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model_zoo.errors import CheckpointError, ConfigError
from model_zoo.importers.family import (
    Checkpoint,
    Choices,
    Family,
    ForeignNetwork,
    Tensors,
    shape,
)
from model_zoo.importers.msrkit import GeneratorOptions
from model_zoo.option_names import option

MARKS = {"fc1.weight", "lstm.weight_ih_l0", "fc3.weight", "bn3.weight", "output_mean"}
"""Tensors that together only a target of Open-Unmix has."""

TRANSFORMS = re.compile(r"(stft|transform)\..*|sample_rate")
"""Tensors of files before 2021 that are not part of the network."""

RATE = "sample_rate"

PUBLISHED = {4096: (44_100, 1024), 1024: (16_000, 512)}
"""Sample rate in Hz and hop by window, of music (``umx``, ``umxhq``, ``umxl``) and of speech
(``umxse``)."""

SETS = (("vocals", "drums", "bass", "other"), ("speech", "noise"))
"""Targets of the published models, in order."""

SECONDS = 6
"""Length of the clips that the published networks are trained on."""


def is_target(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are the tensors of a target of Open-Unmix."""
    return tensors.keys() >= MARKS


def read(checkpoints: Sequence[Checkpoint], choices: Choices) -> ForeignNetwork:
    """The network in one file per target.

    Raises:
        ConfigError: the stems are not those of a whole song, or an option contradicts the files.
        CheckpointError: a tensor is missing or has another number of axes.
    """
    stems = choices.stems or stems_of([each.path for each in checkpoints])
    targets = [each.tensors for each in checkpoints]
    config, tensors = assemble(targets, stems, GeneratorOptions.of(choices))
    return ForeignNetwork(
        "open_unmix",
        config,
        tensors,
        {"fourier.window": (config["window_size"],)},
        residual="" if len(stems) > 1 else f"no_{stems[0]}",
        is_whole=len(stems) > 1,
    )


def stems_of(sources: Sequence[Path]) -> tuple[str, ...]:
    """Stems by the names of their files, without digits of a checksum."""
    plain = (re.sub(r"[-_][0-9a-f]{8}$", "", source.stem.lower()) for source in sources)
    return tuple(re.sub(r"[^a-z0-9]+", "_", name).strip("_") for name in plain)


def assemble(
    targets: Sequence[Mapping[str, Tensor]], stems: Sequence[str], options: GeneratorOptions
) -> tuple[dict[str, Any], Tensors]:
    """Config and tensors of the separator with these targets, in the order of the published models.

    A single target is separated without the Wiener filter.

    Args:
        targets: tensors of each target.
        stems: their names.
        options: hop and sample rate, where they are not the published ones.

    Raises:
        ConfigError: the stems are not those of a whole song, or an option contradicts the files.
        CheckpointError: a tensor is missing or has another number of axes.
    """
    _check_stems(stems, len(targets))
    order = sorted(range(len(stems)), key=lambda number: _place(stems[number]))
    config = _config(targets[0], options)
    config |= {"stems": [stems[number] for number in order], "niter": int(len(stems) > 1)}
    tensors = {
        f"targets.{place}.{name}": value
        for place, number in enumerate(order)
        for name, value in _with_counters(targets[number]).items()
    }
    return config, tensors


def _check_stems(stems: Sequence[str], targets: int) -> None:
    flag = option("stems", "--stem")
    if len(stems) != targets:
        raise ConfigError(flag, [f"{len(stems)} names for {targets} files: name each"])
    for known in SETS:
        if 1 < targets < len(known) and {*stems} < {*known}:
            missing = ", ".join(stem for stem in known if stem not in stems)
            raise ConfigError(
                flag, [f"the files of {missing} are missing: convert all of a model, or one"]
            )


def _place(stem: str) -> int:
    """Position of a stem in the published models; behind all for other stems."""
    return next((known.index(stem) for known in SETS if stem in known), 4)


def _config(target: Mapping[str, Tensor], options: GeneratorOptions) -> dict[str, Any]:
    shapes = {name: tuple(value.shape) for name, value in target.items()}
    (bins,), (num_bins,) = _shape(shapes, "output_mean", 1), _shape(shapes, "input_mean", 1)
    hidden_size, values = _shape(shapes, "fc1.weight", 2)
    window = 2 * (bins - 1)
    usual_rate, usual_hop = PUBLISHED.get(window, (44_100, window // 4))
    rate = _stated_rate(target, options) or usual_rate
    return {
        "hidden_size": hidden_size,
        "num_layers": sum(bool(re.fullmatch(r"lstm\.weight_ih_l\d+", name)) for name in shapes),
        "unidirectional": "lstm.weight_ih_l0_reverse" not in shapes,
        "num_bins": num_bins,
        "audio_channels": values // num_bins,
        "window_size": window,
        "hop_size": options.hop_size or usual_hop,
        "sample_rate": rate,
        "segment": SECONDS * rate,
    }


def _stated_rate(target: Mapping[str, Tensor], options: GeneratorOptions) -> int | None:
    """Sample rate by the file or the user, who must agree; None if neither states one."""
    rate = target.get(RATE)
    if rate is None or rate.numel() != 1 or not rate.isfinite():
        return options.sample_rate
    stated = int(rate)
    if options.sample_rate not in (None, stated):
        raise ConfigError(option("sample_rate"), [f"the file states {stated} Hz: leave it out"])
    return stated


def _with_counters(target: Mapping[str, Tensor]) -> Tensors:
    """Tensors of the network, with the batch counters that very old files lack."""
    counters = {f"bn{number}.num_batches_tracked": torch.tensor(0) for number in (1, 2, 3)}
    return counters | {n: value for n, value in target.items() if not TRANSFORMS.fullmatch(n)}


def _not_a_target(why: str) -> CheckpointError:
    return CheckpointError(
        f"These are not the tensors of a target of Open-Unmix ({why}). "
        "Convert the .pth files of its targets"
    )


_shape = partial(shape, error=_not_a_target)

FAMILY = Family("Open-Unmix", is_target, read, has_file_per_stem=True)

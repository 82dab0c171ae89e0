"""Limits for weight files from strangers, checked before a network or tensor takes memory.

A file of a few bytes may describe a network of any size. So its config is checked against limits,
the network is built on the device "meta", without memory, and its names and shapes are compared
with those in the header, index or pickle of the file. Memory is allocated only for a network whose
weights the file holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model_zoo.discriminators.ensemble import DiscriminatorEnsemble, EnsembleSpec
from model_zoo.errors import CheckpointError, ConfigError, MisfitError, UnknownNameError
from model_zoo.introspection import Shapes, build_on_meta, without_storage
from model_zoo.parsing import DEEPEST, shortened, shown
from model_zoo.separator import Separator

LARGEST = 1_000_000
"""Largest integer in a config (samples, widths, layers), except segment lengths."""

LONGEST_LIST = 1_000
LONGEST_TEXT = 1_000
"""Largest number of items of a list and of characters of a text."""

LONGEST_SEGMENT = 120.0
"""Longest segment in seconds, ten times the usual 3 to 12."""

RATES = (1_000, 768_000)
"""Lowest and highest sample rate in Hz."""

SPARE = 256 * 2**20
"""Bytes of buffers that a network computes itself, in addition to the size of its file."""

MOST_ROOM = 8 * 2**30
"""Bytes of the largest activation in float32 during the forward pass of one segment."""

USUAL_FRAMES = 4_000
"""Largest number of frames in a segment; usual networks have at most 1,300."""

USUAL_SIZE = 10_000
"""Largest width, window or codebook; the largest usual one is 8,192."""

MISTAKES_SHOWN = 3

Shape = tuple[int, ...]


def require_fit(
    origin: str, architecture: str, config: Mapping[str, Any], shapes: Mapping[str, Shape]
) -> Separator:
    """Build the network of a file on the device "meta" and check that its tensors fit.

    Args:
        origin: name of the file, for messages.
        architecture: a key of :data:`model_zoo.registry.ARCHITECTURES`.
        config: arguments of that architecture.
        shapes: shapes of the tensors in the file, by name.

    Raises:
        MisfitError: config and tensors belong to different networks.
        CheckpointError: a value of the config is impossible.
    """
    mistakes = absurd_values(config)
    if mistakes:
        raise damaged(origin, mistakes)
    network = _built(origin, architecture, config)
    different = misfits(network, shapes)
    if different:
        raise MisfitError(
            f"{origin} is damaged: it does not fit {type(network).__name__}: "
            f"{'; '.join(different)}. Convert it again with the options it was trained with"
        )
    _require_sane(origin, network)
    return network


def require_room(origin: str, network: Separator) -> None:
    """Check on the device "meta" how much memory a forward pass of one segment needs.

    Networks of usual sizes are not checked: that takes as long as loading them.

    Raises:
        CheckpointError: the memory would be absurd.
    """
    if _is_usual(network.config.to_dict()):
        return
    wave = torch.empty(1, network.channels, network.segment, device="meta")
    measured = Largest()
    # An operation whose shape depends on values ends the pass.
    with suppress(RuntimeError, ConfigError), torch.no_grad(), measured:
        network(wave)
    if measured.bytes > MOST_ROOM:
        raise damaged(origin, f"one segment takes {measured.bytes / 2**30:,.0f} GiB of memory")


def _is_usual(config: Mapping[str, Any]) -> bool:
    sizes = {key: value for key, value in config.items() if isinstance(value, int)}
    segment, _ = sizes.pop("segment", 0), sizes.pop("sample_rate", 0)
    frames = segment / max(1, sizes.get("hop_size", 1))
    return frames <= USUAL_FRAMES and all(value <= USUAL_SIZE for value in sizes.values())


def damaged(origin: str, why: str) -> CheckpointError:
    """The error for a file of weights whose content cannot be right."""
    return CheckpointError(f"{origin} is damaged ({why}). Copy or convert it again")


def absurd_values(config: Mapping[str, Any]) -> str:
    """Names and values of a config that no network has, whatever its architecture; else empty."""
    return "; ".join([*_mistakes("config", config)][:MISTAKES_SHOWN])


def misfits(network: nn.Module, found: Mapping[str, Shape]) -> list[str]:
    """Differences between found names and shapes and those of a network; empty if they fit."""
    return [*differences(shapes_of(network.state_dict()), found)]


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Shapes of tensors, by name."""
    return {name: tuple(value.shape) for name, value in tensors.items()}


def differences(wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> Iterator[str]:
    """Differences between names and shapes of tensors; nothing if they fit."""
    missing, unknown = sorted(wanted.keys() - found), sorted(found.keys() - wanted)
    if missing:
        yield f"{_some(missing)} missing"
    if unknown:
        yield f"{_some(unknown)} unknown"
    for name in sorted(wanted.keys() & found):
        if wanted[name] != found[name]:
            yield f"{name} is {found[name]} instead of {wanted[name]}"
            return


def _some(names: list[str]) -> str:
    rest = len(names) - MISTAKES_SHOWN
    listed = ", ".join(map(shortened, names[:MISTAKES_SHOWN]))
    return listed + (f" and {rest} more" if rest > 0 else "")


def _mistakes(key: str, value: Any, depth: int = 0) -> Iterator[str]:
    """Values that no network of any architecture has."""
    if isinstance(value, (list, tuple, dict)):
        if len(value) > LONGEST_LIST or depth > DEEPEST:
            yield f"{shortened(key)} is too long"
            return
        pairs = value.items() if isinstance(value, dict) else ((key, item) for item in value)
        for name, item in pairs:
            yield from _mistakes(str(name), item, depth + 1)
    elif _is_absurd(key, value):
        yield f"{shortened(key)} is {shown(value)}"


def _is_absurd(key: str, value: Any) -> bool:
    if isinstance(value, str):
        return len(value) > LONGEST_TEXT
    most = LONGEST_SEGMENT * RATES[1] if key == "segment" else LARGEST
    # The negation is true of NaN as well.
    return isinstance(value, (int, float)) and not -most <= value <= most


def _built(origin: str, architecture: str, config: Mapping[str, Any]) -> Separator:
    try:
        return build_on_meta(architecture, config)
    except (UnknownNameError, ConfigError) as error:
        raise CheckpointError(
            f"{origin} is damaged or needs a network that this version does not have: {error}"
        ) from error
    except Exception as error:  # arithmetic on absurd values may fail in any way
        why = shortened(" ".join(str(error).split()) or type(error).__name__)
        raise damaged(origin, f"no network can be built from its config: {why}") from error


def _require_sane(origin: str, network: Separator) -> None:
    low, high = RATES
    if not low <= network.sample_rate <= high:
        raise damaged(origin, f"its sample rate is {network.sample_rate} Hz")
    if not 0 < network.segment <= LONGEST_SEGMENT * network.sample_rate:
        raise damaged(origin, f"its segment is {network.segment / network.sample_rate:,.0f} s long")
    tables = table_bytes(network)
    if tables > SPARE + sum(value.nbytes for value in network.state_dict().values()):
        raise damaged(origin, f"its tables would take {tables / 2**20:,.0f} MiB")


def table_bytes(network: nn.Module) -> int:
    """Bytes of the buffers that a network computes itself, such as windows."""
    stored = network.state_dict()
    return sum(value.nbytes for name, value in network.named_buffers() if name not in stored)


class Largest(Shapes):
    """Records the size in bytes of the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and record the size of its result."""
        result = super().__torch_function__(func, types, args, kwargs)
        for each in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(each, Tensor):
                self.bytes = max(self.bytes, each.nbytes)
        return result


MOST_TENSORS = 20_000
"""Largest number of tensors: four times that of the largest usual checkpoint with optimizer."""

LONGEST_NAME = 1_000
"""Longest name of a tensor in characters."""

MOST_AXES = 8

SHARED = 4
"""Largest factor by which tensors may share values, as tied weights do."""

MOST_BYTES = 16 * 2**30
"""Largest size of all tensors; a sparse file may be longer than its space on disk."""


def check_tensors(path: Path, shapes: Mapping[str, Shape], size: int, available: int) -> None:
    """Refuse names, shapes and sizes that no network has.

    Args:
        path: the file.
        shapes: shapes of its tensors, by name.
        size: bytes that the tensors would take in memory.
        available: bytes of the file or files that hold their values.

    Raises:
        CheckpointError: a limit is exceeded.
    """
    mistakes = [*_names(shapes), *_shapes(shapes.values()), *_size(size, available)]
    if mistakes:
        raise unsafe(path, mistakes[0])


def unsafe(path: Path, why: str) -> CheckpointError:
    """The error for a file that must not be read any further."""
    return CheckpointError(f"{path} is damaged or unsafe ({why}). Copy or download it again")


def _names(names: Collection[str]) -> Iterator[str]:
    if len(names) > MOST_TENSORS:
        yield f"it has {len(names):,} tensors"
    longest = max(map(len, names), default=0)
    if longest > LONGEST_NAME:
        yield f"a tensor has a name of {longest:,} characters"


def _shapes(shapes: Collection[Shape]) -> Iterator[str]:
    axes = max(map(len, shapes), default=0)
    if axes > MOST_AXES:
        yield f"a tensor has {axes:,} axes"
    elif any(length < 0 for shape in shapes for length in shape):
        yield "a tensor has an axis of negative length"


def _size(size: int, available: int) -> Iterator[str]:
    if size > min(SHARED * available, MOST_BYTES):
        yield f"its tensors would take {size:,} bytes"


MOST_CHANNELS = 16
"""Largest number of audio channels of discriminators."""

MOST_WEIGHTS = 4 * 2**30
"""Largest size of discriminators in float32; the usual four have a twentieth of it."""

TRIED = 2.0
"""Length of the audio that discriminators are checked with, in seconds."""


def ensemble_on_meta(spec: EnsembleSpec) -> DiscriminatorEnsemble:
    """Build discriminators on the device "meta" and check a forward pass.

    Raises:
        ConfigError: they cannot be built or run, or would need an absurd amount of memory.
    """
    mistakes = absurd_values(spec.to_dict())
    if not (1 <= spec.nch <= MOST_CHANNELS and RATES[0] <= spec.sample_rate <= RATES[1]):
        mistakes = f"{spec.nch} channels at {spec.sample_rate} Hz"
    if mistakes:
        raise ConfigError("options", [f"impossible values: {mistakes}"])
    try:
        ensemble = without_storage(spec.build)
        most = _largest(ensemble, spec)
    except ConfigError:
        raise
    except Exception as error:  # arithmetic on absurd values may fail in any way
        why = " ".join(str(error).split())
        raise ConfigError("options", [f"they cannot be used ({why})"]) from error
    kept = sum(value.nbytes for value in ensemble.state_dict().values())
    if most > MOST_ROOM or kept > MOST_WEIGHTS or table_bytes(ensemble) > SPARE:
        raise ConfigError("options", ["these discriminators are too large. Use smaller values"])
    return ensemble


def _largest(ensemble: DiscriminatorEnsemble, spec: EnsembleSpec) -> int:
    """Bytes of the largest activation of a forward pass."""
    wave = torch.empty(1, spec.nch, int(TRIED * spec.sample_rate), device="meta")
    measured = Largest()
    with torch.no_grad(), measured:
        ensemble(wave)
    return measured.bytes

"""Reads state dicts from pickles of torch without running what is inside.

Names in a pickle that are not torch's are mapped to :mod:`model_zoo.importers.stand_ins`.

``weights_only=True`` keeps a pickle from running code, but does not limit what it builds: tuples
nested many times over, whose hash as a key of a mapping takes forever; a text encoded as
hexadecimal again and again, doubling each time; a view of one value converted to a tensor of
billions. So the opcodes (documented in the module pickletools) are walked first, tracking only the
size of each object on the stack.

torch writes an archive whose records are stored, never compressed (torch/csrc/jit/serialization/
export.md: "zip archive with uncompressed records"), so that together they are no larger than the
file. Before version 1.6 it wrote several pickles in a row, followed by the values.

This is the only module that opens pickles, and only with ``weights_only=True``: tensors, numbers
and containers are read, anything that would have to be executed is refused.
"""

from __future__ import annotations

import pickle
import pickletools
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.serialization import safe_globals

from model_zoo.errors import CheckpointError, NoModelError
from model_zoo.files import SUFFIX
from model_zoo.importers.other_files import require_file
from model_zoo.importers.package import from_metadata, from_package
from model_zoo.importers.stand_ins import STAND_INS, Array
from model_zoo.option_names import use_command
from model_zoo.weight_checks import check_tensors, shapes_of, unsafe
from model_zoo.weights import read_safetensors

MOST_STEPS = 1_000_000
"""Largest number of opcodes; a tensor or an array takes about twenty."""

MOST_VALUES = 10_000_000
"""Largest number of values in an object, counting references."""

REBUILDERS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
"""Functions of torch that return views of their storage; others convert or unpack."""

ALLOCATING = ("bytearray", "Tensor", "Storage")
"""Suffixes of class names whose constructors take any number as a size."""

PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
GET = {"GET", "BINGET", "LONG_BINGET"}
ENCODE = "_codecs encode"
LATIN = "latin1"
"""Encoding that pickles of bytes and arrays use, with one byte per character."""


class BombError(ValueError):
    """A pickle would build far more than its own bytes."""


class Item(NamedTuple):
    """An object on the stack of a pickle.

    Attributes:
        size: number of values in it.
        text: the text itself, or the name of a function.
        parts: texts of the items of a tuple.
    """

    size: int
    text: str = ""
    parts: tuple[str, ...] = ()


MARK = Item(0)


def check_steps(file: Any) -> None:
    """Walk the opcodes of one pickle up to its end.

    Args:
        file: file open for reading bytes.

    Raises:
        BombError: the pickle would build far more than its own bytes.
        Exception: the pickle is damaged; any kind of exception.
    """
    stack: list[Item] = []
    memo: dict[int, Item] = {}
    for number, (step, argument, _) in enumerate(pickletools.genops(file)):
        if number > MOST_STEPS:
            raise BombError("its description is too large")
        if step.name in PUT:
            memo[_number(argument)] = stack[-1]
        elif step.name == "MEMOIZE":  # protocol 4 numbers entries implicitly
            memo[len(memo)] = stack[-1]
        elif step.name in GET:
            stack.append(memo[_number(argument)])
        else:
            _advance(stack, step, argument)


def _number(argument: object) -> int:
    assert isinstance(argument, int), "of these steps pickletools gives a number"
    return argument


def _advance(stack: list[Item], step: pickletools.OpcodeInfo, argument: object) -> None:
    if step.name == "MARK":
        stack.append(MARK)
        return
    taken = [*_taken(stack, step)][::-1]
    size = 1 + sum(item.size for item in taken)
    if size > MOST_VALUES:
        raise BombError("its objects reference each other too often")
    if step.name in ("REDUCE", "NEWOBJ"):
        _check_call(taken[0].text, taken[1].parts)
    text = argument if isinstance(argument, str) else ""
    parts = tuple(item.text for item in taken) if step.name.startswith("TUPLE") else ()
    stack.extend(Item(size, text, parts) for _ in step.stack_after)


def _taken(stack: list[Item], step: pickletools.OpcodeInfo) -> Iterator[Item]:
    """Objects that an opcode takes from the stack, the topmost first."""
    wanted = [kind for kind in step.stack_before if kind is not pickletools.stackslice]
    for kind in reversed(wanted):
        if kind is not pickletools.markobject:
            yield stack.pop()
            continue
        while (item := stack.pop()) is not MARK:
            yield item


def _check_call(function: str, arguments: tuple[str, ...]) -> None:
    """Refuse calls whose result is larger than their arguments."""
    module, _, name = function.partition(" ")
    if function == ENCODE and (len(arguments) != 2 or arguments[1] != LATIN):
        raise BombError("it encodes a text in an unusual way")
    is_rebuilder = module in ("torch._utils", "torch._tensor")
    if (is_rebuilder and name not in REBUILDERS) or name.endswith(ALLOCATING):
        raise BombError(f"it calls {name}")


LEGACY_PICKLES = 5
"""Pickles in a file of torch before 1.6: magic number, version, system, content, storages."""

MOST_RECORDS = 100_000

ARCHIVE = b"PK\3\4"
"""First bytes of a zip archive with records (APPNOTE.TXT, section 4.3.7)."""


def check_archive(path: Path) -> None:
    """Refuse a file that would take far more memory or time than its size suggests.

    Raises:
        CheckpointError: the file is refused.
        OSError: the file cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise unsafe(path, "it is not a regular file")
    try:
        if _is_archive(path):
            _check_records(path)
        else:
            _check_legacy(path)
    except BombError as error:
        raise unsafe(path, str(error)) from error
    except Exception as error:  # damage may raise anything in the readers of both formats
        raise not_a_checkpoint(path) from error


def _is_archive(path: Path) -> bool:
    """Whether torch takes a file for an archive: by its first bytes, unlike ``zipfile``."""
    with path.open("rb") as file:
        return file.read(len(ARCHIVE)) == ARCHIVE


def not_a_checkpoint(path: Path) -> CheckpointError:
    """The error for a file that torch cannot read or cannot have written."""
    return CheckpointError(
        f"{path} is damaged or is not a PyTorch checkpoint. Copy or download it again"
    )


def _check_records(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if archive.comment or min((record.header_offset for record in records), default=0):
            raise BombError("it holds more than one archive")  # torch might read another one
        if len(records) > MOST_RECORDS:
            raise BombError(f"it has {len(records):,} records")
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise BombError("its records are compressed")
        if sum(record.file_size for record in records) > path.stat().st_size:
            raise BombError("its records share their bytes")
        for record in records:
            if record.filename.endswith(".pkl"):
                with archive.open(record) as file:
                    check_steps(file)


def _check_legacy(path: Path) -> None:
    with path.open("rb") as file:
        for _ in range(LEGACY_PICKLES):
            check_steps(file)


CONTAINERS = (
    *("state_dict", "model_state_dict", "state", "best_state", "ema_state_dict", "ema", "weights"),
    *("generator", "model", "net", "network"),
)
"""Keys under which trainers store the state of a network; the first with tensors counts."""


def state_dict(path: Path) -> dict[str, Tensor]:
    """Read the generator's tensors from a checkpoint, without prefixes of wrappers.

    Args:
        path: PyTorch file, or safetensors file of any layout.

    Raises:
        NoModelError: there is no such file, or it needs no conversion.
        CheckpointError: the file is damaged, unsafe to read or holds no tensors.
    """
    tensors, _ = read_checkpoint(path)
    return tensors


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint's tensors, and the arguments of the network in a package of Demucs.

    Args:
        path: as for :func:`state_dict`.

    Raises:
        NoModelError: there is no such file, or it needs no conversion.
        CheckpointError: the file is damaged, unsafe to read or holds no tensors.
    """
    require_file(path)
    if path.suffix.lower() == SUFFIX:
        tensors, texts = read_safetensors(path)
        if "architecture" in texts:
            raise NoModelError(f"{path} is a model of stem already. Try: {use_command(str(path))}")
        return plain_names(tensors), from_metadata(path, texts)
    check_archive(path)
    content = _load(path)
    notes = from_package(path, content)
    found = _network(content, set())
    if not found:
        raise CheckpointError(
            f"{path} holds no tensors by name. "
            "Save the network with torch.save(network.state_dict(), FILE) and convert that"
        )
    check_loaded(path, found)
    return plain_names(found), notes


PART = "generator."  # of a checkpoint that holds the discriminators too
WRAPPERS = ("module.", "model.", "_orig_mod.")  # of DDP, Lightning and torch.compile


def check_loaded(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors with more values than the file has bytes for, as strides of 0 allow.

    Args:
        path: the file.
        tensors: its tensors, by name.

    Raises:
        CheckpointError: there are such tensors, or kinds of tensors that networks do not have.
    """
    if not all(map(_is_usual, tensors.values())):
        raise unsafe(path, "its tensors are sparse, quantized or have no values")
    size = sum(value.nbytes for value in tensors.values())
    check_tensors(path, shapes_of(tensors), size, path.stat().st_size)


def _is_usual(value: Tensor) -> bool:
    is_dense = value.layout == torch.strided and not (value.is_quantized or value.is_nested)
    return is_dense and value.device.type == "cpu" and not value.is_complex()


def plain_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the generator, without the prefixes that wrappers add to their names."""
    names = {name: name for name in tensors}
    while changed := _shorter(names):
        names = changed
    return {short: tensors[full] for short, full in names.items()}


def _shorter(names: Mapping[str, str]) -> dict[str, str]:
    """Remove one prefix from all names; empty if they share none."""
    if any(short.startswith(PART) for short in names):
        return {
            short.removeprefix(PART): full
            for short, full in names.items()
            if short.startswith(PART)
        }
    # A running average stores its number of updates under a name of its own.
    counted = {short: full for short, full in names.items() if short != "n_averaged"}
    for prefix in WRAPPERS:
        if counted and all(short.startswith(prefix) for short in counted):
            return {short.removeprefix(prefix): full for short, full in counted.items()}
    return counted if len(counted) < len(names) else {}


def _load(path: Path) -> Any:
    try:
        with safe_globals(STAND_INS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} would have to run code to be read, which is unsafe, or is not a checkpoint. "
            "Save only its tensors with torch.save(network.state_dict(), FILE) and convert that"
        ) from error
    except Exception as error:  # a damaged pickle may raise anything
        raise not_a_checkpoint(path) from error


def _network(content: Any, seen: set[int]) -> dict[str, Tensor]:
    """The tensors of a network in a trainer's checkpoint, which may have others beside it.

    Args:
        content: the checkpoint.
        seen: mappings that have been looked into, since one may hold itself.
    """
    if not isinstance(content, Mapping) or id(content) in seen:
        return {}
    seen.add(id(content))
    inner = (_network(content.get(key), seen) for key in CONTAINERS)
    return next(filter(None, inner), None) or _tensors(content)


def _tensors(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    plain = {
        name: torch.from_numpy(value.values)
        if isinstance(value, Array) and value.values is not None
        else value
        for name, value in content.items()
        if isinstance(name, str)
    }
    return {name: value for name, value in plain.items() if isinstance(value, Tensor)}

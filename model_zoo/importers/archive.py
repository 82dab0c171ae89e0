"""Files of ``torch.save``, checked for what would fill the memory before or after they are read.

torch writes an archive whose records are stored, never compressed (torch/csrc/jit/serialization/
export.md: "zip archive with uncompressed records"), so that together they are no larger than the
file.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from model_zoo.errors import CheckpointError

MOST_PICKLE = 16 * 2**20
"""Bytes of the record that describes all others: of a thousand tensors it has about 0.1 MB."""

MOST_STEPS = 1_000_000
"""Of a larger one, whose bytes are those of arrays; an array takes about twenty."""

SHARED = 4
"""How often a tensor may share the values of others, as tied weights do."""


def check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than it holds; other files are left to torch.

    Raises:
        CheckpointError: it is one.
        OSError: it cannot be read.
    """
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            is_long = any(_is_long(archive, record) for record in records)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise _bomb(path, "its list of records cannot be read") from error
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise _bomb(path, "its records are compressed")
    if sum(record.file_size for record in records) > path.stat().st_size:
        raise _bomb(path, "its records share their bytes")
    if is_long:
        raise _bomb(path, "its description is too large")


def _is_long(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> bool:
    """Whether a pickle makes too many objects; one that holds arrays is large and makes few.

    Raises:
        ValueError: it is damaged.
    """
    if not record.filename.endswith(".pkl") or record.file_size <= MOST_PICKLE:
        return False
    if record.compress_type != zipfile.ZIP_STORED:
        return True
    with archive.open(record) as file:
        steps = islice(pickletools.genops(file), MOST_STEPS + 1)
        return sum(1 for _ in steps) > MOST_STEPS


def check_tensors(path: Path, tensors: Iterable[Tensor]) -> None:
    """Refuse tensors of more values than the file has bytes for, which strides of zero give.

    Raises:
        CheckpointError: there are some, or tensors of another kind than networks have.
    """
    found = list(tensors)
    if any(value.layout != torch.strided or value.device.type != "cpu" for value in found):
        raise _bomb(path, "its tensors are sparse or have no values")
    size = sum(value.numel() * value.element_size() for value in found)
    if size > SHARED * path.stat().st_size:
        raise _bomb(path, f"its tensors would take {size:,} bytes")


def _bomb(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged or unsafe ({why}). Copy or download it again")

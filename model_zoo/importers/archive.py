"""Files of ``torch.save``, checked for what would fill the memory before they are read.

torch writes an archive whose records are stored, never compressed (torch/csrc/jit/serialization/
export.md: "zip archive with uncompressed records"), so that together they are no larger than the
file. Before version 1.6 it wrote pickles one after the other, and the values behind them.
"""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

from model_zoo.errors import CheckpointError
from model_zoo.importers.pickle_steps import BombError, check_steps
from model_zoo.tensor_limits import unsafe

LEGACY_PICKLES = 5
"""A magic number, a version, the system, the content, and the names of the storages."""

MOST_RECORDS = 100_000

ARCHIVE = b"PK\3\4"
"""First bytes of a zip archive with records (APPNOTE.TXT, section 4.3.7)."""


def check_archive(path: Path) -> None:
    """Refuse a file that would take far more memory or time than its size allows.

    Raises:
        CheckpointError: it is one.
        OSError: it cannot be read.
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
    except Exception as error:  # damage can fail anywhere in the readers of both formats
        raise not_a_checkpoint(path) from error


def _is_archive(path: Path) -> bool:
    """By the first bytes, as torch decides; ``zipfile`` also finds an archive behind a pickle."""
    with path.open("rb") as file:
        return file.read(len(ARCHIVE)) == ARCHIVE


def not_a_checkpoint(path: Path) -> CheckpointError:
    """The error for a file that torch cannot read, or could not have written."""
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

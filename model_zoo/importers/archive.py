"""Unpacks archives in which checkpoints are published: Deezer's models of Spleeter are ``.tar.gz``.

Only plain files of a TensorFlow checkpoint are written, under their own last names, into a folder
that is removed afterwards: links, devices and paths in an archive have no effect.
"""

from __future__ import annotations

import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from model_zoo.errors import CheckpointError

SUFFIXES = (".tar.gz", ".tgz")

PARTS = ("*.index", "*.data-?????-of-?????")
"""Files of a TensorFlow checkpoint that are read."""

LARGEST = 2**30
"""Most bytes that are unpacked; Spleeter's largest model has 196 MB."""


def is_archive(path: Path) -> bool:
    """Whether a path is that of an archive."""
    return path.is_file() and path.name.lower().endswith(SUFFIXES)


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The folder of the checkpoint in an archive, until the block ends; other paths unchanged.

    Raises:
        CheckpointError: the archive is damaged, too large, or has no TensorFlow checkpoint.
    """
    if not is_archive(path):
        yield path
        return
    with TemporaryDirectory() as folder:
        _unpack(path, Path(folder))
        yield Path(folder)


def _unpack(path: Path, folder: Path) -> None:
    left = LARGEST
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                left -= max(member.size, 0) + tarfile.BLOCKSIZE
                name = PurePosixPath(member.name)
                if left < 0:
                    raise CheckpointError(
                        f"{path} unpacks to more than {LARGEST:,} bytes. Unpack it yourself"
                    )
                content = archive.extractfile(member) if member.isfile() else None
                if content and any(map(name.match, PARTS)):
                    with (folder / name.name).open("wb") as written:
                        shutil.copyfileobj(content, written)
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise CheckpointError(f"{path} cannot be unpacked ({error}). Download it again") from error
    if not any(folder.glob("*.index")):
        raise CheckpointError(
            f"{path} has no TensorFlow checkpoint (model.index). Convert an archive of Spleeter"
        )

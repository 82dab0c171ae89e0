"""Refuses files that people take for checkpoints: web pages, pointers, archives, programs."""

from __future__ import annotations

import re
import zipfile
from contextlib import suppress
from pathlib import Path

from model_zoo.errors import CheckpointError, NoModelError
from model_zoo.option_names import shell_or_python
from model_zoo.parsing import shortened

HEAD = 512
"""Bytes at the start of a file that are looked at."""

TEXTS = {
    rb"version https://git-lfs": (
        "is a pointer of Git LFS. Run git lfs pull where you cloned it, or download the file itself"
    ),
    rb"\s*<(!doctype|html|\?xml)": (
        "is a web page. Download the file itself: on huggingface.co its address has /resolve/ "
        "instead of /blob/"
    ),
}
"""Beginnings of texts, and what to do about them."""

ARCHIVE = rb"\x1f\x8b|7z\xbc\xaf\x27\x1c|Rar!|\xfd7zXZ|BZh\d"
"""First bytes of gzip, 7z, RAR, xz and bzip2."""

UNPACK = "Unpack it and convert the checkpoint in it"

SETTINGS = (".yaml", ".yml", ".json")


def require_file(path: Path) -> None:
    """Require a file.

    Raises:
        NoModelError: there is none.
    """
    if path.is_file():
        return
    wrong = "does not exist"
    if path.exists():
        wrong = "is a folder" if path.is_dir() else "is not a regular file"
    raise NoModelError(f"{path} {wrong}. Use the name of a checkpoint file")


def refuse_other_files(path: Path) -> None:
    """Refuse a file that has something else than weights in it.

    Raises:
        NoModelError: there is no such file, or it is a configuration file.
        CheckpointError: it is empty, a web page, a pointer, an archive or a program.
    """
    require_file(path)
    if path.suffix.lower() in SETTINGS:
        add = shell_or_python(f"--config {path.name}", f"config={path.name!r}")
        raise NoModelError(f"{path} is a configuration file. Name the checkpoint, and add {add}")
    with path.open("rb") as file:
        head = file.read(HEAD)
    if reason := _reason(path, head):
        raise CheckpointError(f"{path} {reason}")


def _reason(path: Path, head: bytes) -> str:
    """What a file is instead of a checkpoint, and what to do; empty if it may be one."""
    if not head:
        return "is empty. Copy or download it again"
    for pattern, advice in TEXTS.items():
        if re.match(pattern, head, re.IGNORECASE):
            return advice
    if re.match(ARCHIVE, head):
        return f"is a compressed archive. {UNPACK}"
    return _zipped(path) if head.startswith(b"PK\3\4") else ""


def _zipped(path: Path) -> str:
    """What a ZIP archive is if torch has not written it as a checkpoint."""
    names: list[str] = []
    # Damage may raise anything; the reader of checkpoints reports it.
    with suppress(Exception), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any("/code/" in name for name in names):
        return "is a TorchScript program. Convert the checkpoint that it was made from"
    if names and not any(name.endswith("data.pkl") for name in names):
        return f"is a ZIP archive with {shortened(names[0])}. {UNPACK}"
    return ""

"""Identification of the running code, with changed copies of a small package."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from stemcli import version as version_module
from stemcli.version import digest, how_to_install, is_same, package_folders, version


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with two source files and a weights file."""
    folder = tmp_path / "one/package"
    (folder / "inner").mkdir(parents=True)
    (folder / "code.py").write_bytes(b"x = 1\n")
    (folder / "inner/recipe.yaml").write_bytes(b"steps: 2\n")
    (folder / "weights.safetensors").write_bytes(b"0")
    return folder


def test_a_copy_has_the_same_digest(package: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(package, tmp_path / "another/package"))
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__/code.cpython-311.pyc").write_bytes(b"compiled")
    (copy / "weights.safetensors").unlink()
    (copy / "code.py").write_bytes(b"x = 1\r\n")
    assert digest([copy]) == digest([package])


@pytest.mark.parametrize(
    ("name", "content"),
    [("code.py", b"x = 2\n"), ("inner/recipe.yaml", b"steps: 3\n"), ("more.py", b"")],
)
def test_changed_code_has_another_digest(package: Path, name: str, content: bytes) -> None:
    before = digest([package])
    (package / name).write_bytes(content)
    assert digest([package]) != before


def test_file_names_are_part_of_the_digest(package: Path) -> None:
    before = digest([package])
    (package / "code.py").rename(package / "renamed.py")
    assert digest([package]) != before


def test_the_digest_of_our_packages_is_fast() -> None:
    names = {folder.name for folder in package_folders()}
    assert names == {"model_zoo", "stemcli", "trainers"}
    digest(package_folders())
    best = min(_seconds() for _ in range(5))
    assert best < 0.05


def _seconds() -> float:
    started = time.perf_counter()
    digest(package_folders())
    return time.perf_counter() - started


def test_a_digest_without_a_version_number_matches() -> None:
    digest_ = version().rpartition("+")[2]
    assert is_same(version())
    assert is_same(digest_)
    assert is_same(f"9.9+{digest_}")
    assert not is_same("0.1.0+000000000000")
    assert not is_same("")


def test_installation_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_module, "number", lambda: "1.2")
    assert how_to_install() == "Run there: pip install 'stemcli[cluster]==1.2'"
    assert how_to_install("1.1+abc") == how_to_install()
    assert how_to_install("1.2+abc") == "Install the same code on all machines"
    monkeypatch.setattr(version_module, "number", lambda: "")
    assert how_to_install("abc") == "Run there: pip install 'stemcli[cluster]'"

"""Which code runs. Truth: copies of small packages, changed by hand."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from stemcli import version as version_module
from stemcli.version import digest, how_to_install, is_same, package_folders, version


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Two source files, and some that are none."""
    made = tmp_path / "one/package"
    (made / "inner").mkdir(parents=True)
    (made / "code.py").write_bytes(b"x = 1\n")
    (made / "inner/recipe.yaml").write_bytes(b"steps: 2\n")
    (made / "weights.safetensors").write_bytes(b"0")
    return made


def test_a_copy_elsewhere_is_the_same(package: Path, tmp_path: Path) -> None:
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
def test_other_code_is_another(package: Path, name: str, content: bytes) -> None:
    before = digest([package])
    (package / name).write_bytes(content)
    assert digest([package]) != before


def test_a_name_is_part_of_the_code(package: Path) -> None:
    before = digest([package])
    (package / "code.py").rename(package / "renamed.py")
    assert digest([package]) != before


def test_our_own_is_told_quickly() -> None:
    names = {folder.name for folder in package_folders()}
    assert names == {"model_zoo", "stemcli", "trainers"}
    digest(package_folders())
    best = min(_seconds() for _ in range(5))
    assert best < 0.05


def _seconds() -> float:
    began = time.perf_counter()
    digest(package_folders())
    return time.perf_counter() - began


def test_a_source_folder_without_a_number_is_the_same() -> None:
    ours = version().rpartition("+")[2]
    assert is_same(version())
    assert is_same(ours)
    assert is_same(f"9.9+{ours}")
    assert not is_same("0.1.0+000000000000")
    assert not is_same("")


def test_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_module, "number", lambda: "1.2")
    assert how_to_install() == "Run there: pip install 'stemcli[cluster]==1.2'"
    assert how_to_install("1.1+abc") == how_to_install()
    assert how_to_install("1.2+abc") == "Install the same code on all machines"
    monkeypatch.setattr(version_module, "number", lambda: "")
    assert how_to_install("abc") == "Run there: pip install 'stemcli[cluster]'"

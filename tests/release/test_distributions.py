"""The wheel and the sdist: their files, their metadata, and a song separated with them.

Reference for the quality: the README's figure for this song, 13.9 dB for the vocals.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from tests.release.files import ROOT, call, copy_checkout, program

pytestmark = pytest.mark.release

DEMO = ROOT / "docs/demo/real"
PACKAGES = ("model_zoo", "stemcli", "trainers")
LEFT_BY_TOOLS = (
    ".venv/bin/python",
    "runs/latest/last.safetensors",
    "separated/song/vocals.wav",
    ".mypy_cache/a.json",
    "dist/old.whl",
    "stemcli/__pycache__/process.cpython-311.pyc",
    "trainers/recipes/__pycache__/loading.cpython-311.pyc",
    "tests/__pycache__/conftest.cpython-311.pyc",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with what tools leave in one, and a file of a kind that no other has."""
    folder = copy_checkout(tmp_path_factory.mktemp("release") / "source")
    for name in (*LEFT_BY_TOOLS, "stemcli/py.typed"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.fixture(scope="module")
def built(source: Path) -> Path:
    """A folder with the sdist and the wheel built from it; ``direct`` has that of the checkout."""
    folder = source.with_name("dist")
    build = (sys.executable, "-m", "build", "--no-isolation")
    call(*build, "--outdir", folder, source)
    call(*build, "--wheel", "--outdir", folder / "direct", source)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


def files_of(wheel: Path) -> dict[str, str]:
    """Name and hash of every file of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        record = next(name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        lines = archive.read(record).decode().splitlines()
    return dict(line.rsplit(",", 2)[:2] for line in lines)


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_the_sdist_builds_the_same_wheel(built: Path, wheel: Path) -> None:
    assert files_of(wheel) == files_of(built / "direct" / wheel.name)


def test_the_wheel_has_the_packages_and_all_their_data(source: Path, wheel: Path) -> None:
    """Everything in the packages but compiled Python; beside it only metadata and licences."""
    paths = (path for name in PACKAGES for path in (source / name).rglob("*") if path.is_file())
    expected = {path.relative_to(source).as_posix() for path in paths if path.suffix != ".pyc"}
    names = {*files_of(wheel)}
    assert {name for name in names if ".dist-info/" not in name} == expected
    suffixes = {Path(name).suffix for name in expected}
    assert suffixes >= {
        ".py",
        ".yaml",
        ".toml",
        ".safetensors",
        ".txt",
        ".j2",
        ".mplstyle",
        ".typed",
    }
    licences = {name.partition(".dist-info/licenses/")[2] for name in names if "/licenses/" in name}
    assert licences == {"LICENSE", "model_zoo/catalogue/bundled/spleeter_2stems.LICENSE.txt"}


def test_the_sdist_has_what_builds_and_tests_stem_and_no_junk(source: Path, built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    paths = (path for path in source.rglob("*") if path.is_file())
    there = {path.relative_to(source).as_posix() for path in paths}
    assert names - {"PKG-INFO"} == there - {*LEFT_BY_TOOLS}


def test_the_metadata_render_without_the_files_beside_the_readme(built: Path, wheel: Path) -> None:
    """The long description has neither pictures nor links to files, and names them instead."""
    found = [*built.glob("*.whl"), *built.glob("*.tar.gz")]
    assert call(program("twine"), "check", "--strict", *found).count("PASSED") == 2
    described = metadata_of(wheel)
    text = described.get_payload()
    assert isinstance(text, str)
    assert described["Description-Content-Type"] == "text/markdown"
    assert not re.search(r"\]\((?!https?:)", text)
    assert "Installing (`docs/install.md`)" in text
    assert described.get_all("Project-URL") is None


@pytest.fixture(scope="module")
def borrowed(wheel: Path) -> Path:
    """An environment with the wheel alone, which finds everything else in that of the tests."""
    folder = wheel.parent / "borrowed"
    call(sys.executable, "-m", "venv", "--without-pip", folder)
    python = next(folder.glob("[bS]*/python*"))
    install = ("install", "--quiet", "--no-deps", "--no-index", wheel)
    call(sys.executable, "-m", "pip", "--python", python, *install)
    packages = next(folder.rglob("site-packages"))
    shared = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "borrowed.pth").write_text("\n".join(shared))
    return python.parent


def vocals_sdr(programs: Path, stems: Path) -> float:
    """Separate the demo song with a ``stem``, and measure the vocals."""
    stem = programs / "stem"
    call(stem, "separate", DEMO / "song.flac", "--output", stems, cwd=stems.parent)
    compared = call(
        stem, "eval", "folder", DEMO / "stems", stems / "song", "--json", cwd=stems.parent
    )
    last = next(line for line in compared.splitlines() if '"evaluated"' in line)
    rows = {row["stem"]: row["values"] for row in json.loads(last)["rows"]}
    return float(rows["vocals"]["global_sdr"])


def test_the_installed_wheel_separates(borrowed: Path, wheel: Path, tmp_path: Path) -> None:
    where = "import stemcli, trainers, model_zoo as zoo; print(stemcli.__file__, zoo.__file__)"
    places = call(borrowed / "python", "-c", where, cwd=tmp_path).split()
    assert [Path(place).is_relative_to(borrowed.parent) for place in places] == [True, True]
    assert call(borrowed / "stem", "--version") == f"stem {wheel.name.split('-')[1]}\n"
    assert vocals_sdr(borrowed, tmp_path / "stems") == pytest.approx(13.9, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_fresh_environment(kind: str, built: Path, tmp_path: Path) -> None:
    """With nothing but what pip installs; the sdist is built in an environment of its own."""
    call(sys.executable, "-m", "venv", tmp_path / "fresh")
    file = next(built.glob("*.whl" if kind == "wheel" else "*.tar.gz"))
    call(tmp_path / "fresh/bin/pip", "install", "--quiet", file)
    assert vocals_sdr(tmp_path / "fresh/bin", tmp_path / "stems") == pytest.approx(13.9, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["pipx", "uvx"])
def test_a_runner_of_programs(runner: str, wheel: Path, tmp_path: Path) -> None:
    """As docs/install.md says; folders with wheels that pip may use are passed on to both."""
    environment = {**os.environ, "PIPX_HOME": str(tmp_path / "pipx"), "UV_TOOL_DIR": str(tmp_path)}
    if "PIP_FIND_LINKS" in os.environ:
        environment["UV_FIND_LINKS"] = os.environ["PIP_FIND_LINKS"]
    start = ("run", "--spec", wheel, "stem") if runner == "pipx" else ("--from", wheel, "stem")
    song = ("separate", DEMO / "song.flac", "--output", tmp_path / "out")
    call(program(runner), *start, *song, cwd=tmp_path, env=environment)
    assert (tmp_path / "out/song/vocals.wav").is_file()

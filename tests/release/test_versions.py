"""The version, the changelog, the workflows and the Dockerfiles belong together."""

from __future__ import annotations

import fnmatch
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.release.files import ROOT

CHECK = runpy.run_path(str(ROOT / ".ci/check_release.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in sorted((ROOT / ".github/workflows").iterdir())
}
DOCKERFILE = (ROOT / "docs/docker/Dockerfile").read_text("utf-8")


def checkout(folder: Path, version: str, changelog: str) -> Path:
    (folder / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
    (folder / "CHANGELOG.md").write_text(changelog)
    return folder


NOTES = "## [Unreleased]\n\n## [1.3.0] - 2027-02-01\n\n- New.\n\n## [1.2.0] - 2027-01-01\n"


@pytest.mark.parametrize(
    ("tag", "version", "wrong"),
    [
        ("v1.3.0", "1.3.0", []),
        ("1.3.0", "1.3.0", ["use v1.3.0"]),
        ("v1.2.0", "1.3.0", ["use v1.3.0"]),
        ("v1.4.0", "1.4.0", ["below a heading '## [1.4.0]"]),
        ("v1.3.0", "1.2.0", ["use v1.2.0", "is not 1.2.0"]),
    ],
)
def test_a_tag_without_its_version_or_its_notes_is_not_released(
    tag: str, version: str, wrong: list[str], tmp_path: Path
) -> None:
    found = CHECK["problems"](tag, checkout(tmp_path, version, NOTES))
    assert len(found) == len(wrong)
    assert all(text in line for text, line in zip(wrong, found, strict=True))


def test_the_changelog_and_the_version_agree() -> None:
    """The version is the newest release, or later with notes below Unreleased."""
    releases = CHECK["released"](ROOT)
    number = PROJECT["version"]
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## .*$", text, re.M)
    assert headings == ["## [Unreleased]", *(h for h in headings if CHECK["RELEASE"].match(h))]
    assert [number, *releases] == sorted({number, *releases}, key=as_numbers, reverse=True) or (
        number == releases[0]
    )
    if number not in releases:
        assert re.search(r"^- ", text.split("## [Unreleased]")[1].split("\n## ")[0], re.M)


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_one_file_states_the_version() -> None:
    """Examples of image tags are the only others, and are up to date."""
    number = PROJECT["version"]
    for package in ("stemcli", "trainers", "model_zoo"):
        for path in (ROOT / package).rglob("*.py"):
            assert f'= "{number}"' not in path.read_text("utf-8"), path
    pages = [path for path in (ROOT / "docs").rglob("*") if path.suffix in ("", ".md", ".yaml")]
    texts = [path.read_text("utf-8") for path in pages if path.is_file()]
    tags = {tag for text in texts for tag in re.findall(r"/stem:(\d[\w.]*)", text)}
    assert tags == {number}


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_and_permissions_minimal(name: str) -> None:
    """A tag of an action can be moved; a commit cannot."""
    workflow = WORKFLOWS[name]
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert [
        action for action in used if not re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action)
    ] == []
    assert workflow["permissions"] in ({}, {"contents": "read"})
    granted = {
        (k, v) for job in workflow["jobs"].values() for k, v in job.get("permissions", {}).items()
    }
    assert granted <= {("contents", "read"), ("id-token", "write")}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_all_systems_and_versions_of_python_are_tested() -> None:
    """The classifiers list the versions; the systems are written here."""
    jobs = WORKFLOWS["tests"]["jobs"]
    known = sorted(
        line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)
    )
    assert all(job["strategy"]["matrix"]["python"] == known for job in jobs.values())
    systems = [jobs["linux"]["runs-on"], *jobs["other-systems"]["strategy"]["matrix"]["system"]]
    assert systems == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert "bash .ci/run" in str(steps(WORKFLOWS["tests"]))


def test_slow_tests_run_every_week() -> None:
    """Their files exist and hold slow tests."""
    workflow = WORKFLOWS["weekly"]
    (schedule,) = workflow[True]["schedule"]  # YAML 1.1 reads "on" as true
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", schedule["cron"])
    run = " ".join(step.get("run", "") for step in steps(workflow))
    files = re.findall(r"tests/[\w/]+\.py", run)
    assert len(files) == 6
    assert all("pytest.mark.slow" in (ROOT / name).read_text("utf-8") for name in files)
    assert "pytest -m slow" in run


@pytest.mark.parametrize("job", ["publish", "publish-image"])
def test_publishing_waits_for_the_owner(job: str) -> None:
    """Nothing is published before the owner has set a variable and an environment."""
    described = WORKFLOWS["release"]["jobs"][job]
    assert re.fullmatch(r"vars\.PUBLISH_\w+ == 'true'", described["if"])
    assert described["environment"] in ("pypi", "image")
    page = (ROOT / "docs/contributing.md").read_text("utf-8").split("## Releasing")[1]
    assert described["if"].split(".")[1].split(" ")[0] in page


def test_files_that_the_workflows_use_exist() -> None:
    text = "".join((ROOT / ".github/workflows" / f"{name}.yml").read_text() for name in WORKFLOWS)
    named = re.findall(r"(?<![\w/])(?:\.ci|docs)/[\w./]+\w", text)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_dockerfile_copies_what_dockerignore_lets_through() -> None:
    copied = [
        name
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.M)
        for name in line.split()
    ]
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    kept = [rule[1:] for rule in rules if rule.startswith("!")]
    assert sorted(copied) == sorted(kept)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    dropped = [rule.removeprefix("**/") for rule in rules if rule.startswith("**/")]
    assert any(fnmatch.fnmatch("__pycache__", rule) for rule in dropped)


def test_the_image_has_the_range_of_torch_and_no_root() -> None:
    torch = next(name for name in PROJECT["dependencies"] if name.startswith("torch"))
    assert f"'{torch}'" in DOCKERFILE
    last = DOCKERFILE.split("\nFROM ")[-1]
    assert re.search(r"^USER [1-9]\d*$", last, re.M)
    assert 'ENTRYPOINT ["stem"]' in last
    assert "VOLUME /music" in last

"""Workflows and Dockerfiles, checked by the linters of the extra ``release``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.release.files import ROOT, call, program

pytestmark = pytest.mark.release

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_fit_the_schema(path: Path) -> None:
    schema = ("--builtin-schema", "vendor.github-workflows")
    assert "ok" in call(program("check-jsonschema"), *schema, path)


def test_zizmor_finds_nothing_in_the_workflows() -> None:
    report = call(program("zizmor"), "--offline", "--no-progress", *WORKFLOWS)
    assert "No findings to report" in report


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    assert call(program("hadolint"), ROOT / "docs/docker/Dockerfile") == ""


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("hadolint", "FROM python\nRUN cd /tmp\n", "DL3006"),
        (
            "zizmor",
            "on: pull_request_target\njobs: {a: {runs-on: x, steps: [{uses: a/b@main}]}}\n",
            "error",
        ),
        ("check-jsonschema", "on: push\njobs: {a: {steps: []}}\n", "runs-on"),
    ],
)
def test_the_linters_find_mistakes(name: str, text: str, found: str, tmp_path: Path) -> None:
    file = tmp_path / ".github/workflows/a.yml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    words = {
        "hadolint": (),
        "zizmor": ("--offline", "--no-progress"),
        "check-jsonschema": ("--builtin-schema", "vendor.github-workflows"),
    }
    with pytest.raises(AssertionError, match=found):
        call(program(name), *words[name], file)

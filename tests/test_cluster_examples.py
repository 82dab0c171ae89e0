"""The page on clusters and its example files, checked against the programs they call.

Reference: the installed Ray (its schema of cluster files, its options and defaults), the options
of Stem's commands, and pyproject.toml.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import ray.autoscaler
import yaml
from ray._raylet import Config
from ray.scripts.scripts import cli as ray_command

from stemcli.cli.app import COMMANDS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/clusters.md"
EXAMPLES = ROOT / "docs/clusters"
MANIFESTS = ("kuberay.yaml", "rayjob.yaml")
TEXTS = {path.name: path.read_text("utf-8") for path in (PAGE, *sorted(EXAMPLES.iterdir()))}
ALL_TEXT = "\n".join(re.sub(r"\\\n\s*", "", text) for text in TEXTS.values())
PIN = re.compile(r"(?:ray\[default\]==|rayVersion: )([\d.]+)")


def calls(program: str) -> list[str]:
    """The arguments in every call of a program on the page and in the examples."""
    matches = re.findall(rf"(?<![\w/.\-\[]){program} ([a-z][^\n`'#>|;]*)", ALL_TEXT)
    return sorted({call.split(" -- ")[0].strip() for call in matches})


def options(call: str) -> set[str]:
    """The options in a call."""
    return {word.split("=")[0] for word in call.split() if re.match(r"--?[a-z]", word)}


def options_of(command: click.Command) -> set[str]:
    """The options that a command shows in its help."""
    visible = (p for p in command.params if isinstance(p, click.Option) and not p.hidden)
    return {name for option in visible for name in (*option.opts, *option.secondary_opts)}


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(TEXTS[name]))


def pods(value: Any) -> list[dict[str, Any]]:
    """Every pod of a manifest."""
    if isinstance(value, list):
        return [pod for one in value for pod in pods(one)]
    if not isinstance(value, dict):
        return []
    found = [value] if "containers" in value else []
    return found + [pod for one in value.values() for pod in pods(one)]


@pytest.mark.parametrize("call", [c for c in calls("stem") if c.split()[0] in {*COMMANDS, "tune"}])
def test_options_of_stem_exist(call: str) -> None:
    name = call.split(maxsplit=1)[0]
    assert name in COMMANDS
    assert options(call) <= options_of(COMMANDS[name].load())


@pytest.mark.parametrize("call", [c for c in calls("ray") if c.split()[0] in ray_command.commands])
def test_options_of_ray_exist(call: str) -> None:
    command: click.Command = ray_command
    for word in call.split():
        if isinstance(command, click.Group) and word in command.commands:
            command = command.commands[word]
    # ray symmetric-run passes unknown options on to ray start.
    extra = options_of(ray_command.commands["start"]) if command.name == "symmetric_run" else set()
    assert options(call) <= options_of(command) | extra


def test_the_firewall_table_names_every_port_of_ray_start() -> None:
    table = TEXTS["clusters.md"].split("## Ports and keys")[1].split("```")[0]
    named = {word for word in re.findall(r"`(--[a-z-]+)`", table) if "port" in word}
    assert named == {name for name in options_of(ray_command.commands["start"]) if "port" in name}


def test_the_page_states_the_defaults_of_ray() -> None:
    rows = re.findall(r"\| `RAY_(health_check_\w+)` \| (\d+) \|", TEXTS["clusters.md"])
    assert len(rows) == 4
    assert {name: int(value) for name, value in rows} == {
        name: getattr(Config, name)() for name, _ in rows
    }


def test_ray_up_accepts_the_cluster_of_aws() -> None:
    schema = json.loads((Path(ray.autoscaler.__path__[0]) / "ray-schema.json").read_text("utf-8"))
    cluster = yaml.safe_load(TEXTS["aws.yaml"])
    jsonschema.validate(cluster, schema)
    assert cluster["head_node_type"] in cluster["available_node_types"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_pods_mount_their_volumes(name: str) -> None:
    all_pods = pods(manifests(name))
    assert len(all_pods) == 2
    for pod in all_pods:
        mounted = {mount["name"] for one in pod["containers"] for mount in one["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_claims_and_scripts_of_pods_are_defined() -> None:
    objects = [one for name in MANIFESTS for one in manifests(name)]
    defined = {(one["kind"], one["metadata"]["name"]) for one in objects}
    volumes = [volume for pod in pods(objects) for volume in pod["volumes"]]
    claims = {one["persistentVolumeClaim"]["claimName"] for one in volumes if one["name"] == "stem"}
    scripts = {one["configMap"]["name"] for one in volumes if one["name"] == "job"}
    assert {("PersistentVolumeClaim", claim) for claim in claims} <= defined
    assert {("ConfigMap", script) for script in scripts} <= defined


def test_all_files_use_one_version_of_ray_and_one_image() -> None:
    assert len(set(PIN.findall(ALL_TEXT))) == 1
    assert len(set(re.findall(r"REGISTRY/stem:[\d.]+", ALL_TEXT))) == 1


def test_the_image_copies_what_the_build_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    copied = set(re.findall(r"^COPY (.+) /opt/stem", TEXTS["Dockerfile"], re.MULTILINE))
    sources = {word for line in copied for word in line.split()}
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    licences = {
        name for name in project["project"]["license-files"] if name.split("/")[0] not in packages
    }
    readme = {
        part["path"]
        for part in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["fragments"]
    }
    assert sources == {"pyproject.toml"} | readme | licences | packages
    assert f":{project['project']['version']} " in TEXTS["Dockerfile"]


@pytest.mark.parametrize("script", ["slurm.sh", "rayjob.yaml"])
def test_scripts_are_valid_bash(script: str, tmp_path: Path) -> None:
    text = TEXTS[script]
    if script.endswith(".yaml"):
        text = manifests(script)[0]["data"]["train.sh"]
    checked = subprocess.run(
        ["bash", "-n"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_links_of_the_page_point_to_files() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", TEXTS["clusters.md"])
    assert {f"clusters/{path.name}" for path in EXAMPLES.iterdir()} <= set(links)
    assert [link for link in links if not (PAGE.parent / link).is_file()] == []

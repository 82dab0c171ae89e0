"""Read YAML as recipes, spaces and the command line have it."""

from __future__ import annotations

import re
from typing import Any

import yaml

from model_zoo.errors import ConfigError
from model_zoo.plain import MOST_YAML, require_bounded, shortened


class _Loader(yaml.SafeLoader):
    """YAML whose numbers are those of YAML 1.2: 1e-3 is one."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+"),
    [*"-+.0123456789"],
)


def parse_yaml(where: str, text: str) -> Any:
    """What a text in YAML says.

    Raises:
        ConfigError: it is not valid.
    """
    try:
        if len(text) > MOST_YAML:
            raise ValueError(f"it has {len(text):,} characters")
        return require_bounded(yaml.load(text, _Loader))
    except RecursionError as error:
        raise ConfigError(where, ["not valid YAML: it is nested too deeply"]) from error
    except Exception as error:  # of tagged values PyYAML raises what their constructors raise
        reason = shortened(" ".join(str(error).split()), 300)
        raise ConfigError(where, [f"not valid YAML: {reason}"]) from error


def parse_change(change: str, example: str) -> tuple[str, Any]:
    """Key and value of what was typed as ``--set key=value``.

    Args:
        change: what was typed.
        example: what it could have been.

    Raises:
        ConfigError: it cannot be understood.
    """
    key, _, text = change.partition("=")
    if not key or key == change:
        raise ConfigError("--set", [f"{change!r} must look like {example}"])
    try:
        return key, parse_yaml("--set", text)
    except ConfigError as error:
        mistake = f"{change}: not valid YAML: a list looks like '{key}=[1, 2]', with the quotes"
        raise ConfigError("--set", [mistake]) from error

"""Reads configuration files of Music-Source-Separation-Training (MSST), which others use as well.

A file has the sections ``audio``, ``model``, ``training`` and ``inference``. Nothing in it is run:
``!!python/tuple`` is a list, and every other tag is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_zoo.errors import ConfigError
from model_zoo.option_names import option
from model_zoo.parsing import MOST_YAML, parse_yaml, read_text, shown

SECTIONS = ("audio", "model", "training", "inference")

CHUNK = "audio.chunk_size"
"""Length of a chunk in samples; ``inference.chunk_size`` takes precedence."""


@dataclass(frozen=True)
class Settings:
    """Content of a configuration file.

    Attributes:
        values: values by section and key, as in ``"audio.chunk_size"``.
        stems: names of the stems that the network gives, in order; empty if none are named.
        rest: name of what the only stem leaves of the song; empty if it is not named.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    stems: tuple[str, ...] = ()
    rest: str = ""


def read_settings(path: Path) -> Settings:
    """Read a configuration file.

    Raises:
        ConfigError: the file is missing, is not valid YAML or has other contents.
    """
    where = option("config")
    try:
        text = read_text(path, MOST_YAML)
    except FileNotFoundError as error:
        raise ConfigError(where, [f"{path} does not exist"]) from error
    except (OSError, ValueError) as error:
        raise ConfigError(where, [f"{path} cannot be read ({error})"]) from error
    content = parse_yaml(f"{where} {path}", text, has_tuples=True)
    if not isinstance(content, dict):
        raise ConfigError(where, [f"{path} has no sections ({', '.join(SECTIONS)})"])
    values = {
        f"{section}.{key}": value
        for section in SECTIONS
        if isinstance(content.get(section), dict)
        for key, value in content[section].items()
    }
    if not values:
        raise ConfigError(where, [f"{path} has none of the sections {', '.join(SECTIONS)}"])
    chunk = _chunk(values)
    return Settings(values | ({CHUNK: chunk} if chunk else {}), *_stems(values))


def _chunk(values: Mapping[str, Any]) -> Any:
    """Length of a chunk in samples, or as other programs state it, in frames."""
    chunk = values.get("inference.chunk_size") or values.get(CHUNK)
    frames, hop = values.get("inference.dim_t"), values.get("audio.hop_length")
    if chunk or not isinstance(frames, int) or not isinstance(hop, int):
        return chunk
    return hop * (frames - 1)


def _stems(values: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """Stems of the network, and the name of the rest: a network for one target gives only that."""
    instruments = values.get("training.instruments") or []
    target = values.get("training.target_instrument")
    if not isinstance(instruments, list) or not all(isinstance(name, str) for name in instruments):
        mistake = f"training.instruments must be a list of names, found {shown(instruments)}"
        raise ConfigError(option("config"), [mistake])
    if not isinstance(target, (str, type(None))):
        mistake = f"training.target_instrument must be a name, found {shown(target)}"
        raise ConfigError(option("config"), [mistake])
    if not target:
        return tuple(instruments), ""
    others = [name for name in instruments if name != target]
    return (target,), others[0] if len(others) == 1 else ""

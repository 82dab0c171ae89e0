"""What is known of an architecture without any weights."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_zoo import registry
from model_zoo.anatomy import Part, anatomy
from model_zoo.errors import ConfigError
from model_zoo.separator import Separator
from model_zoo.weightless import weightless
from model_zoo.yaml import parse_change
from stemcli.cli.models.gives import USES, WITHOUT_STEMS
from stemcli.cli.words import millions

SOURCE = re.compile(r"\b(19|20)\d\d\b|https?://|arXiv")
"""By which a paragraph of a docstring is known that names the paper."""


@dataclass(frozen=True)
class Blueprint:
    """A network of an architecture, without storage.

    Attributes:
        name: of the architecture.
        network: on the device "meta".
        parts: the tree of them.
    """

    name: str
    network: Separator
    parts: Part

    @classmethod
    def of(cls, name: str, options: Mapping[str, Any], where: str = "--set") -> Blueprint:
        """The architecture in its usual size, but for ``options``.

        Args:
            name: of the architecture.
            options: of its constructor.
            where: they were found.

        Raises:
            UnknownNameError: there is no such architecture.
            ConfigError: options are unknown or contradict each other, or the network is too large.
        """
        try:
            network = weightless(name, options)
            return cls(name, network, anatomy(network))
        except ConfigError as error:
            known = {**registry.architecture(name).Config().to_dict(), **options}
            raise ConfigError(where, [told(each, known) for each in error.mistakes]) from error
        except (RuntimeError, MemoryError) as error:
            # PyTorch counts the bytes of a tensor in 63 bits.
            mistake = "a network of this size cannot be described. Type smaller numbers"
            raise ConfigError(where, [mistake]) from error

    def facts(self) -> Iterator[tuple[str, str]]:
        """In the order a musician asks; what is not known is left out."""
        network, (title, source) = self.network, described(type(self.network))
        known = {
            "name": self.name,
            "purpose": network.purpose,
            "network": title,
            "origin": source,
            "gives": USES[network.role],
            "stems": "" if network.role in WITHOUT_STEMS else ", ".join(network.stems),
            "sample rate": f"{network.sample_rate} Hz",
            "channels": f"{network.channels} at once" if network.channels > 1 else "one by one",
            "segment": f"{network.segment / network.sample_rate:.2f} s",
            "parameters": millions(network.parameter_count()),
            "recipe": f"{self.name} (stem train --recipe {self.name})",
            "search space": f"{self.name} (stem tune {self.name})",
        }
        return ((key, value) for key, value in known.items() if value)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the tree of the parts."""
        network, (title, source) = self.network, described(type(self.network))
        return {
            "architecture": self.name,
            "purpose": network.purpose,
            "title": title,
            "source": source,
            "role": network.role,
            "stems": network.stems,
            "sample_rate": network.sample_rate,
            "channels": network.channels,
            "segment": network.segment,
            "parameters": network.parameter_count(),
            "recipe": self.name,
            "space": self.name,
            "options": network.config.to_dict(),
            "network": self.parts.to_dict(),
        }


def described(kind: type[Separator]) -> tuple[str, str]:
    """The first line of the module of a class, and the paragraph there that names a paper."""
    text = inspect.cleandoc(sys.modules[kind.__module__].__doc__ or "")
    title, *others = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return title, next((each for each in others if SOURCE.search(each)), "")


def told(mistake: str, options: Mapping[str, Any]) -> str:
    """A mistake with the values of the options that it names, where it does not have them yet."""
    names = [name for name in options if re.search(rf"\b{name}\b", mistake)]
    if not names or "found" in mistake or mistake.startswith("unknown"):
        return mistake
    values = [f"{name}={json.dumps(options[name], ensure_ascii=False)}" for name in names]
    return f"{mistake}, found {' and '.join(values)}"


def parsed(changes: Sequence[str]) -> dict[str, Any]:
    """Options of an architecture as they were typed, ``key=value``, values in YAML.

    Raises:
        ConfigError: one of them cannot be understood.
    """
    return dict(parse_change(change, "num_layers=4") for change in changes)

"""Facts of the catalogue about a public model that is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from model_zoo import registry
from stemcli.cli.console import Console
from stemcli.cli.formatting import millions, size
from stemcli.cli.models import ANOTHER, score_row

if TYPE_CHECKING:
    from model_zoo.catalogue.public import Preset, PublicModel

CONSENT = {
    "": "",
    "non-commercial": "accept that you may not use it commercially",
    "no grant": "accept that nobody has granted a right to use the weights",
}
"""What ``stem models pull`` asks you to do, by the kind of consent."""


def show_public(model: PublicModel, console: Console) -> None:
    """Show what the catalogue says about a model that is not installed."""
    console.document(public_document(model))
    console.table(("=model", ""), [*public_facts(model)])
    if model.scores:
        console.result()
        console.table(("stem", "score", ">value", "measured on"), [*map(score_row, model.scores)])
    console.line()
    console.line(model.refusal or f"Try: stem models pull {model.name}")
    if model.name in registry.ARCHITECTURES:
        console.line(ANOTHER.format(model.name))


def show_preset(preset: Preset, console: Console) -> None:
    """Show what the catalogue says about several models that are used together."""
    console.document({**preset.to_dict(), "outputs": preset.stems, "role": "stems"})
    console.table(("=preset", ""), [*preset_facts(preset)])
    console.line()
    console.line(f"Try: stem models pull {preset.name}")


def preset_facts(preset: Preset) -> Iterator[tuple[str, str]]:
    """Yield the facts of a preset, without unknown ones."""
    how = f"{preset.method} of {preset.domain}"
    known = {
        "name": preset.name,
        "also called": ", ".join(preset.aliases),
        "description": preset.description,
        "stems": ", ".join(preset.stems),
        "models": ", ".join(preset.members),
        "combined by": "weights for each stem" if preset.weights else how,
        "source": preset.source,
    }
    return ((key, value) for key, value in known.items() if value)


def public_document(model: PublicModel) -> dict[str, Any]:
    """Plain values of a public model, with the keys that all models have."""
    more = {"outputs": model.outputs, "role": "stems", "size": model.size, "installed": False}
    return {**model.to_dict(), **more}


def public_facts(model: PublicModel) -> Iterator[tuple[str, str]]:
    """Yield the facts of a public model in the order a musician asks, without unknown ones."""
    said_by = f" ({model.licence_source})" if model.licence_source else ""
    known = {
        "name": model.name,
        "also called": ", ".join(model.aliases),
        "purpose": model.purpose,
        "stems": ", ".join(model.outputs),
        "licence": f"{model.licence}{said_by}",
        "before a fetch": f"you {CONSENT[model.consent]}" if model.consent else "",
        "authors": model.authors,
        "source": model.source,
        "note": model.note,
        "architecture": f"{model.architecture}, {model.variant}".removesuffix(", "),
        "paper": model.paper,
        "sample rate": f"{model.sample_rate} Hz",
        "parameters": millions(model.parameters) if model.parameters else "",
        "size": size(model.size) if model.size else "",
        "fetched from": " ".join(file.url for file in model.downloads),
        "sha256": " ".join(file.sha256 for file in model.downloads),
        "installed": "no",
    }
    return ((key, value) for key, value in known.items() if value)

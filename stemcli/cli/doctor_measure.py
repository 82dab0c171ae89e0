"""``stem doctor --measure``: the fastest backend for a model on this machine."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING

from stemcli.cli.console import Console

if TYPE_CHECKING:
    from stemcli.engine.backends.measuring import Measurement


def measure(name: str, device: str, console: Console) -> None:
    """Measure all backends for a model, keep the results and show them.

    Raises:
        UnknownNameError: the zoo has no such model.
        DeviceError: the device is not available.
    """
    from stemcli.engine.backends.base import is_installed
    from stemcli.engine.backends.measuring import candidates, fastest, measure_backends
    from stemcli.engine.device import keep_freed_memory, resolve_device
    from stemcli.engine.models import load_model
    from stemcli.engine.on_demand import pull_missing

    chosen = resolve_device(device)
    with console:
        pull_missing((name,), console.show)
        model = load_model(name)
        if chosen.type == "cpu":
            keep_freed_memory()
        count = len([*candidates(chosen, model.separator.needs_float32)])
        with console.busy(f"Measuring {model.name} on {chosen} in {count} ways ..."):
            found = measure_backends(model, chosen)
    best = fastest(found, "auto", is_installed)
    console.document(
        {
            "model": model.name,
            "device": str(chosen),
            "measurements": [
                {**asdict(one), "level": None if math.isinf(one.level) else one.level}
                for one in found
            ],
            "fastest": best and {"backend": best.backend, "precision": best.precision},
        }
    )
    console.table(
        ("=backend", "precision", ">x real time", ">equal to torch in fp32", ""), [*map(row, found)]
    )
    if best:
        console.line(f"{model.name}: --backend auto now takes {best.backend} in {best.precision}.")


def row(one: Measurement) -> tuple[str, ...]:
    """Cells of the table."""
    if one.failure:
        return (one.backend, one.precision, "", "", one.failure)
    level = "" if math.isinf(one.level) else f"{one.level:.0f} dB"
    note = "" if one.is_good else "too far from float32 for auto"
    return (one.backend, one.precision, f"{one.speed:.1f}", level, note)

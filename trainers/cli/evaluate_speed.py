"""``stem eval speed``: measures speed and memory of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from stemcli.cli.console import Console
from stemcli.cli.formatting import examples, memory
from stemcli.cli.options import PRECISIONS, console_options, device_option
from stemcli.cli.parameter_types import NumberRange, WholeNumber
from stemcli.cli.settings_command import SettingsCommand
from trainers.cli.evaluate import models_option, store_option

if TYPE_CHECKING:
    from trainers.evaluation.speed import Speed


@click.command(
    "speed",
    cls=SettingsCommand,
    settings=("device",),
    epilog=examples(
        ("stem eval speed", "measure the bundled model"),
        ("stem eval speed -m melroformer -m runs/mine", "compare two models"),
        ("stem eval speed --precision fp32 --precision bf16", "compare two precisions"),
        ("stem eval speed --device cuda", "measure on the GPU"),
    ),
)
@models_option
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(PRECISIONS),
    default=("auto",),
    help="Floating-point precision of the network; may be repeated.  [default: auto]",
)
@device_option
@click.option(
    "--seconds",
    type=NumberRange(10, 3600),
    default=60.0,
    show_default=True,
    help="Duration of the audio to separate.",
)
@click.option(
    "--rounds",
    type=WholeNumber(1, 100),
    default=3,
    show_default=True,
    help="Runs per row; the median is reported.",
)
@store_option
@console_options
def command(
    *,
    models: tuple[str, ...],
    precisions: tuple[str, ...],
    device: str,
    seconds: float,
    rounds: int,
    store: bool,
    console: Console,
) -> None:
    """Measure speed, memory and start-up time of models.

    Each run of a model and precision has its own process, one after the other. The time covers the
    network and the joining of its chunks, not reading or writing files.
    """
    from trainers.cli.evaluate_display import show_stored
    from trainers.evaluation.results import require_cards, store_speeds
    from trainers.evaluation.speed import Probe, machine, measure

    if store:
        require_cards(models)
    probes = [
        Probe(model, precision, device, seconds)
        for model in dict.fromkeys(models)
        for precision in dict.fromkeys(precisions)
    ]
    with console:
        found = measure(
            probes,
            rounds,
            lambda probe, reading: console.line(
                f"{reading.model} {reading.precision}: {reading.times_real_time:.1f} x real time"
            ),
        )
    here = machine(found[0].device)
    console.document(
        {"event": "measured", "machine": here, "rows": [asdict(speed) for speed in found]}
    )
    show(console, found)
    console.result(f"On {here}: {seconds:g} s of stereo at 44.1 kHz, medians of {rounds} runs.")
    if store:
        show_stored(console, store_speeds(found, here))


def show(console: Console, speeds: Sequence[Speed]) -> None:
    """Print the table of speeds."""
    has_gpu = any(speed.gpu_memory for speed in speeds)
    columns = ("=model", "=device", "=precision", ">x real time", ">memory", ">start")
    rows = [
        (
            speed.model,
            speed.device,
            speed.precision,
            f"{speed.times_real_time:.1f}",
            memory(speed.memory),
            f"{speed.start_seconds:.1f} s",
            *([memory(speed.gpu_memory)] if has_gpu else []),
        )
        for speed in speeds
    ]
    console.line()
    console.table((*columns, *([">GPU memory"] if has_gpu else [])), rows)

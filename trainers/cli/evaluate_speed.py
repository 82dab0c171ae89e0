"""``stem eval speed``: time and memory of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from stemcli.cli.console import Console
from stemcli.cli.formatting import examples, memory
from stemcli.cli.options import PRECISIONS, NumberRange, console_options, device_option
from trainers.cli.evaluate import models_option, store_option

if TYPE_CHECKING:
    from trainers.evaluation.speed import Speed


@click.command(
    "speed",
    epilog=examples(
        ("stem eval speed", "the bundled model, as it runs here"),
        ("stem eval speed -m melroformer -m runs/mine", "two models"),
        ("stem eval speed --precision fp32 --precision bf16", "two precisions"),
        ("stem eval speed --device cuda", "on the GPU"),
    ),
)
@models_option
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(PRECISIONS),
    default=("auto",),
    help="Numbers the network computes with; may be repeated.  [default: auto]",
)
@device_option
@click.option(
    "--seconds",
    type=NumberRange(10, 3600),
    default=60.0,
    show_default=True,
    help="Length of what is separated.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="Processes for each row, of which the median counts.",
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
    """Measure how fast models are, how much memory they take and how long they need to start.

    Every model and precision runs in processes of its own, in turn. What is timed is the network
    with all that joins its pieces; reading and writing of files is left out.
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
    console.result(
        f"On {here}: {seconds:g} s of stereo at 44.1 kHz, medians over {rounds} of each."
    )
    if store:
        show_stored(console, store_speeds(found, here))


def show(console: Console, speeds: Sequence[Speed]) -> None:
    """The table."""
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

"""``stem eval compare``: evaluations side by side."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from model_zoo.errors import require_package
from stemcli.cli.console import Console
from stemcli.cli.options import console_options
from stemcli.cli.words import examples
from trainers.evaluation.summary import METRICS, decibels

if TYPE_CHECKING:
    from trainers.evaluation.comparison import Difference

RUN = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    "compare",
    epilog=examples(
        ("stem eval compare scores", "all methods of one evaluation, against its first"),
        ("stem eval compare before after", "two evaluations"),
        ("stem eval compare before/melroformer after/mine", "two methods"),
        ("stem eval compare before after --metric SDR", "by BSSEval's SDR"),
    ),
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=RUN)
@click.option(
    "--metric",
    type=click.Choice([metric.key for metric in METRICS], case_sensitive=False),
    default="global_sdr",
    show_default=True,
    help="SDR, ISR, SIR and SAR are BSSEval's.",
)
@console_options
def command(*, runs: tuple[Path, ...], metric: str, console: Console) -> None:
    """Compare evaluations song by song; each RUN is the folder of one, or of a method in it.

    Every method is held against the first, in the order of the RUNs and the alphabet, the mixture
    and the ideal ratio mask last. The last column is the probability of differences at least as
    large if both were equal (Wilcoxon's signed ranks); it needs at least 6 songs.
    """
    require_package("scipy", "eval")
    from trainers.evaluation.comparison import compare, read_runs

    chosen = next(each for each in METRICS if each.key == metric)
    found = compare(read_runs(runs), chosen)
    rows = [_plain(row) for row in found]
    console.document({"event": "compared", "metric": metric, "rows": rows})
    columns = ("=stem", "=method", f">{chosen.title}", ">songs", ">change", ">better", ">chance")
    console.table(columns, [_cells(row) for row in found])
    console.result(f"In dB: {chosen.how}.")
    console.result("Change, better, chance: over songs with a number by the method and the first.")


def _cells(row: Difference) -> tuple[str, ...]:
    value = row.stem, row.method, decibels(row.value), str(row.songs)
    if not row.shared:
        return *value, "", "none shared", ""
    if math.isnan(row.change):
        return *value, "", "", ""
    chance = f"{row.chance:.2g}" if math.isfinite(row.chance) else ""
    return *value, f"{row.change:+.2f}", f"{row.better} of {row.shared}", chance


def _plain(row: Difference) -> dict[str, Any]:
    """Null where there is no number."""
    values = asdict(row).items()
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values
    }

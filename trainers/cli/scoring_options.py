"""Options of the commands that score stems."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from model_zoo.card import DEFAULT_MODEL
from stemcli.cli.params import NumberRange

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

WINDOW = NumberRange(0.01, 30.0)


def rules_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--win``, ``--backend`` and ``--jobs``; the command receives ``rules``."""

    @click.option(
        "--win",
        "window",
        type=WINDOW,
        default=1.0,
        show_default=True,
        metavar="SECONDS",
        help="Windows of BSSEval; 1 is what everybody publishes.",
    )
    @click.option(
        "--backend",
        type=click.Choice(["torch", "museval"]),
        default="torch",
        show_default=True,
        help="Whose BSSEval; museval is the reference implementation, which takes its time.",
    )
    @click.option(
        "-j",
        "--jobs",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        help="Songs that are measured at the same time, each in memory, while the network works on"
        " the next.",
    )
    @functools.wraps(command)
    def with_rules(*args: Any, window: float, backend: Any, jobs: int, **rest: Any) -> Any:
        from trainers.evaluation.run import Rules

        return command(*args, rules=Rules(window, backend, jobs), **rest)

    return with_rules


def output_option(shown: str, default: Path | None = None) -> Decorator:
    """``--output``; the command receives a path or None."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        default=default,
        metavar="DIR",
        help=f"Folder for scores of each song, tables and report.html.{shown}",
    )


pieces_option = click.option(
    "--listen",
    "pieces",
    type=click.IntRange(0, 10),
    default=3,
    show_default=True,
    metavar="N",
    help="Songs that can be heard and seen in the report; each makes it some megabytes larger.",
)

models_option = click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    default=(DEFAULT_MODEL,),
    metavar="NAME|RUN|FILE",
    help="A network to measure; may be repeated, and all are in memory."
    f"  [default: {DEFAULT_MODEL}]",
)

store_option = click.option(
    "--store", is_flag=True, help="Write what was measured to the card of each model."
)

"""``stem models add``."""

from __future__ import annotations

from pathlib import Path

import click

from stemcli.cli.console import Console
from stemcli.cli.options import console_options
from stemcli.cli.words import examples, millions, quoted, size


@click.command(
    "add",
    epilog=examples(
        ("stem models add runs/mine --name mine", "then: stem separate --model mine ..."),
        ("stem models add friend.safetensors --name friend --licence 'CC BY 4.0'", "a file"),
    ),
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="What to type after --model from now on.")
@click.option(
    "--licence",
    default="not stated",
    show_default=True,
    help="Of the weights, as whoever trained them states it.",
)
@click.option("--overwrite", is_flag=True, help="Replace a model of yours that has this name.")
@console_options
def command(*, run: Path, name: str, licence: str, overwrite: bool, console: Console) -> None:
    """Add a model that you trained.

    RUN is the folder of a run of stem train, or a .safetensors file that it wrote. The best weights
    become a model of your own zoo, with a card that says how they were made and how well they did.
    """
    from model_zoo import registry
    from model_zoo.adoption import adopt
    from stemcli.engine.roles import use_of

    card = adopt(run, name=name, licence=licence, overwrite=overwrite)
    console.document(card.to_dict())
    console.line(f"{card.name}: {millions(card.parameters)} parameters, {size(card.size)}")
    for score in card.scores:
        console.line(f"{score.stem}: {score.value:.2f} dB {score.metric} on {score.dataset}")
    role = registry.architecture(card.architecture).role
    console.line(f"Now type: {use_of(quoted(card.name), role)}")

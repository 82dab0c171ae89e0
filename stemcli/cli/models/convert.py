"""``stem models convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from model_zoo.errors import NoModelError
from stemcli.cli.console import Console
from stemcli.cli.options import console_options
from stemcli.cli.words import examples, millions, quoted, size


@click.command(
    "convert",
    epilog=examples(
        ("stem models convert Guitar.pth --name guitar", "then: stem separate --model guitar ..."),
        ("stem models convert v.pth --name my-voice --stem vocals --residual band", "name both"),
        ("stem models convert pretrained_models/4stems --name spleeter_4stems", "from Spleeter"),
    ),
)
@click.argument(
    "checkpoints", metavar="CHECKPOINT...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--name", required=True, help="What to type after --model from now on.")
@click.option(
    "--stem",
    "stems",
    multiple=True,
    help="What the network separates; repeat it for several stems.  [default: from the files]",
)
@click.option("--residual", default="", help="Name of the rest of the song.  [default: no_STEM]")
@click.option("--num-heads", type=click.IntRange(1), help="Of a MelRoFormer.  [default: 4]")
@click.option("--hop-size", type=click.IntRange(1), help="In samples.  [default: window / 4]")
@click.option("--sample-rate", type=click.IntRange(1), help="In Hz.  [default: recognised]")
@click.option(
    "--licence",
    default="not stated",
    show_default=True,
    help="Of the weights, as their maker states it.",
)
@click.option("--overwrite", is_flag=True, help="Replace a model of yours that has this name.")
@console_options
def command(*, checkpoints: tuple[Path, ...], name: str, console: Console, **choices: Any) -> None:
    """Add a model from checkpoints of other programs: MSRKit or Spleeter.

    CHECKPOINT is the file of an MSRKit generator, the folder of a TensorFlow model of Spleeter, or
    one torch file for each stem of such a model. It is read without running any code in it, and
    becomes a safetensors file with a card in your own zoo.
    """
    from model_zoo.importers import convert

    for source in checkpoints:
        refuse_folder(source)
    card = convert(checkpoints, name=name, **choices)
    console.document(card.to_dict())
    console.line(f"{card.name}: {millions(card.parameters)} parameters, {size(card.size)}")
    console.line(f"Now type: stem separate SONG --model {quoted(card.name)}")


def refuse_folder(source: Path) -> None:
    """Refuse a folder that is not a model of Spleeter.

    Raises:
        NoModelError: it is the folder of a run, or holds something else.
    """
    from model_zoo.importers.tensorflow import index_file
    from model_zoo.whereabouts import BEST

    if not source.is_dir() or index_file(source):
        return
    if (source / BEST).is_file():
        raise NoModelError(
            f"{source} is the folder of a run of stem train. Type: stem models add "
            f"{quoted(source)} --name NAME"
        )
    raise NoModelError(
        f"{source} is a folder without a TensorFlow checkpoint (model.index beside "
        "model.data-00000-of-00001). Type the folder that holds one, or the file of a checkpoint"
    )

"""Options of other training programs, and the recipe keys to set instead.

They are hidden, and refused with the option to use. The spellings are
those of common PyTorch training scripts; underscores are typed as dashes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from model_zoo.shell import quoted
from stemcli.cli.other_tools import RefusedOption, refuse
from stemcli.cli.settings_command import SettingsCommand
from trainers.cli.parameters import TABLE
from trainers.recipes import recipe_names

VALUE = "VALUE"
KEYS = {
    "--steps --max-steps --num-steps": "schedule.steps",
    "--batch-size --batch --bs": "loop.batch_size",
    "--lr --learning-rate": "optimizer.lr",
    "--weight-decay --wd": "optimizer.weight_decay",
    "--optimizer": "optimizer.name",
    "--num-workers": "loop.num_workers",
    "--warmup --warmup-steps": "schedule.warmup",
    "--patience --early-stopping": "schedule.early_stopping_patience",
    "--accumulation-steps --gradient-accumulation-steps --accumulate": "loop.accumulation_steps",
    "--clip-seconds --segment --duration --chunk-size": "data.clip_seconds",
    "--wandb --wandb-project": "log.wandb",
}
"""Options that stand for one key of a recipe."""

LOSS = "Use --set losses.NAME=WEIGHT for each loss (docs/losses.md)"
SDR = "Leave it out: validation computes the SDR, which chooses the best weights"
LORA = "Networks are trained as a whole, without LoRA"


def refused() -> list[RefusedOption]:
    """All options with the sentence to answer."""
    given = [RefusedOption(names, "", f"Use --set {key}={{}}") for names, key in KEYS.items()]
    epochs = "A run is counted in steps. Use --set schedule.steps=N"
    return [
        *given,
        RefusedOption("--epochs --num-epochs --max-epochs", "", epochs),
        RefusedOption("--model --arch --architecture", "", "Use --recipe {}"),
        RefusedOption("--model-type", "", "Use --recipe NAME, e.g. --recipe melroformer"),
        RefusedOption("--config --config-path", "", "Use --recipe {}"),
        RefusedOption("--dataset --data-path --data-dir --root", "", "Use --data {}"),
        RefusedOption("--valid-path --valid-data --val-data", "", "Use --validation {}"),
        RefusedOption("--checkpoint --ckpt --start-check-point", "", "Use --from {}"),
        RefusedOption(
            "--results-path --results-dir --save-dir --output-dir", "", "Use --output {}"
        ),
        RefusedOption("--gpus --device-ids", "", "Use --device cuda:N, or --cluster for several"),
        *_of_msst(),
    ]


def _of_msst() -> Iterator[RefusedOption]:
    """Options that only train.py of Music-Source-Separation-Training has."""
    losses = ("masked", "mse", "l1", "log-wmse", "multistft", "spec-masked", "spec-rmse")
    yield RefusedOption(f"--loss {' '.join(f'--{name}-loss-coef' for name in losses)}", "", LOSS)
    yield RefusedOption("--dataset-type", "", "Use --layout with the layout of the data folder")
    yield RefusedOption("--metrics --metric-for-scheduler", "", SDR)
    yield RefusedOption("--wandb-key", "", "Log in with wandb login. Use --set log.wandb=PROJECT")
    yield RefusedOption("--lora-checkpoint", "", f"{LORA}. Use --from {{}}")
    flags = {
        "--train-lora": f"{LORA}. Use --from with the model to train on",
        "--pin-memory": "Leave it out: memory is pinned if there is a GPU",
        "--pre-valid": "Leave it out, and score the model first: stem eval folder",
        "--each-metrics-in-name": "Leave it out: the weights with the best score are kept",
        "--use-standard-loss": LOSS,
        "--save-weights-every-epoch": "Use --set loop.checkpoint_every=STEPS",
    }
    for names, advice in flags.items():
        yield RefusedOption(names, "", advice, is_flag=True)


def other_trainers_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of other training programs, hidden, to ``stem train``."""
    for row in refused():
        for spelling in row.spellings:
            command = click.option(
                spelling,
                is_flag=row.is_flag,
                hidden=True,
                is_eager=True,
                expose_value=False,
                callback=_refuser(row.advice),
                help=f"{row.advice.format(VALUE)}.",
            )(command)
    return command


def _refuser(advice: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value not in (None, False) and not ctx.resilient_parsing:
            refuse(ctx, f"There is no option {parameter.opts[0]}. {advice.format(value)}.")

    return callback


class TrainCommand(SettingsCommand):
    """A command without arguments, which says which option an argument belongs to."""

    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line.

        Raises:
            click.UsageError: there is an argument.
        """
        rest = super().parse_args(ctx, args)
        if ctx.args and not ctx.resilient_parsing:
            raise click.UsageError(_for_argument(ctx.args[0], ctx.command_path), ctx)
        return rest


def _for_argument(word: str, command: str) -> str:
    """Say how to name a data folder or a recipe."""
    start = f"{command} has options only, found {word!r}. Try: {command}"
    if word in recipe_names() or Path(word).suffix in {".yaml", ".yml", ".json"}:
        return f"{start} --recipe {quoted(word)}"
    if Path(word).is_dir() or Path(word).suffix == TABLE:
        return f"{start} --data {quoted(word)}"
    return f"{start} --data DIR, with the folder of your songs"

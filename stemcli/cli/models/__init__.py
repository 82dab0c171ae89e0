"""``stem models``: see, check and add the networks that separate."""

from __future__ import annotations

import click

from stemcli.cli.lazy import Entry, LazyGroup
from stemcli.cli.words import examples

COMMANDS = {
    "list": Entry(
        "stemcli.cli.models.listing:command",
        "Show all models, or all networks that can be trained.",
    ),
    "info": Entry("stemcli.cli.models.info:command", "Show all that is known of one of them."),
    "verify": Entry("stemcli.cli.models.verify:command", "Check that weights are undamaged."),
    "add": Entry("stemcli.cli.models.add:command", "Add a model that you trained."),
    "convert": Entry("stemcli.cli.models.convert:command", "Add a model from a checkpoint."),
    "remove": Entry("stemcli.cli.models.remove:command", "Remove a model that you added."),
}


@click.group(
    "models",
    cls=LazyGroup,
    table=COMMANDS,
    epilog=examples(
        ("stem models list", "what can stand after --model and --phase-model"),
        ("stem models list --architectures", "what can be trained"),
        ("stem models info melroformer", "its stems, its licence and how well it separates"),
    ),
)
def group() -> None:
    """See, check and add the networks that separate."""

"""Values that shells propose for arguments and options.

The functions are callbacks for ``shell_complete`` of Click's parameters. They import neither torch
nor Ray, and leave out what cannot be read: a shell has no place for an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from stemcli.settings import SETTINGS, canonical, split_list

if TYPE_CHECKING:
    from model_zoo.catalogue.cards import Card
    from model_zoo.separator import Role

    Items = list[CompletionItem[str]]

DEVICES = ("auto", "cpu", "cuda", "mps")


def beginning_with(incomplete: str, names: Iterable[str], before: str = "") -> Items:
    """Items for the names that begin with ``incomplete``, each behind the text ``before``."""
    return [CompletionItem(before + name) for name in names if name.startswith(incomplete)]


def files(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Files, which the shell lists itself."""
    return [CompletionItem(incomplete, type="file")]


def folders(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Folders, which the shell lists itself."""
    return [CompletionItem(incomplete, type="dir")]


def all_cards() -> dict[str, Card]:
    """All cards that can be read."""
    from model_zoo.catalogue.cards import cards

    return cards(lambda damage: None)


class ModelName(click.types.StringParamType):
    """The name of a model, the folder of a run, or a weights file.

    Args:
        role: kind of output of the models that shells propose; None for any.
    """

    name = "text"

    def __init__(self, role: Role | None = "stems") -> None:
        self.role = role

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split the value of an environment variable at commas; paths may have spaces."""
        return split_list(rv)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        """Propose models of this role; where none fits, the shell lists files.

        Public models that are not installed are proposed once a part of a name is typed.
        """
        from model_zoo.catalogue.cards import is_installed
        from model_zoo.registry import role

        installed = [
            name
            for name, card in all_cards().items()
            if self.role in (None, role(card.architecture)) and is_installed(card)
        ]
        public = usable_models() if self.role == "stems" and incomplete else []
        names = dict.fromkeys((*installed, *public))
        return beginning_with(incomplete, names) or files(ctx, param, incomplete)


def usable_models() -> list[str]:
    """Public models and presets that can be used, which are fetched if they are not installed."""
    from model_zoo.catalogue.public import presets
    from model_zoo.catalogue.public import public_models as catalogue

    return [*(name for name, model in catalogue().items() if not model.refusal), *presets()]


def models(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Propose all models."""
    return beginning_with(incomplete, all_cards())


def public_models(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Propose public models that can be fetched and are not named yet."""
    taken = context.params.get(parameter.name or "") or ()
    return beginning_with(incomplete, (name for name in usable_models() if name not in taken))


def all_stems(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Propose stems of all models, installed or not."""
    from model_zoo.catalogue.public import public_models as catalogue

    outputs = [each.outputs for each in all_cards().values()]
    outputs += [each.outputs for each in catalogue().values()]
    return beginning_with(incomplete, dict.fromkeys(stem for each in outputs for stem in each))


def own_models(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Propose the models that the user added, also those with a damaged card."""
    from model_zoo.catalogue.cards import card_names, is_bundled

    return beginning_with(incomplete, (name for name in card_names() if not is_bundled(name)))


def architectures(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Propose the architectures that can be trained."""
    from model_zoo.registry import ARCHITECTURES

    return beginning_with(incomplete, ARCHITECTURES)


def models_and_architectures(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> Items:
    """Propose all models, installed or not, and the architectures that can be trained."""
    from model_zoo.catalogue.public import public_models as catalogue
    from model_zoo.registry import ARCHITECTURES

    names = [*all_cards(), *ARCHITECTURES, *catalogue()]
    return beginning_with(incomplete, dict.fromkeys(names))


def stems(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Propose stems of the models in force; a list may go on after a comma."""
    before, comma, last = incomplete.rpartition(",")
    taken = split_list(before)
    left = (stem for stem in stems_of(context) if stem not in taken)
    return beginning_with(last, left, before + comma)


def one_stem(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Propose a stem of the models in force."""
    return beginning_with(incomplete, stems_of(context))


def stems_of(context: click.Context) -> list[str]:
    """Stems of the models that the command names; of all models if it names none that is known."""
    found = all_cards()
    named = context.params.get("model") or ()
    cards = [found[name] for name in named if name in found] or [*found.values()]
    return [*dict.fromkeys(stem for card in cards for stem in card.outputs)]


def devices(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Propose kinds of devices."""
    return beginning_with(incomplete, DEVICES)


def settings(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Propose keys of settings, spelled with dashes if the beginning is."""
    dash = "-" if "-" in incomplete else "_"
    return [
        CompletionItem(key.replace("_", dash), help=setting.meaning)
        for key, setting in SETTINGS.items()
        if key.startswith(canonical(incomplete))
    ]


def setting_values(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Propose what the option of the setting would."""
    from stemcli.cli.batch import command
    from stemcli.cli.settings_command import key_of

    key = canonical(str(context.params.get("key") or ""))
    option: Any = next((each for each in command.params if key_of(each) == key), None)
    if option is None or key not in SETTINGS:
        return []
    if option.is_flag:
        return beginning_with(incomplete, ("true", "false"))
    found: Items = option.shell_complete(context, incomplete)
    return found

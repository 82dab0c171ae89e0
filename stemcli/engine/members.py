"""The models of a separation: those that the user named, or those of a preset."""

from __future__ import annotations

from dataclasses import dataclass

from model_zoo.catalogue.cards import is_known
from model_zoo.catalogue.names import catalogue_name, is_path
from model_zoo.catalogue.public import Preset, find_preset
from model_zoo.errors import ConfigError
from model_zoo.grids import Combination
from model_zoo.option_names import option, subject
from stemcli.engine.options import Options
from stemcli.engine.selection import select
from stemcli.engine.workflow import read_workflow

OF_SPECTRA: dict[str, Combination] = {
    "mean": "mean-spectrum",
    "median": "median-spectrum",
    "min": "min-spectrum",
    "max": "max-spectrum",
}


@dataclass(frozen=True)
class Members:
    """Models to combine.

    Attributes:
        models: names of the models.
        name: name of the preset; empty without one.
        stems: outputs of the preset; empty for those that all models share.
        weights: for each model, its weight in each of ``stems``, or in all stems if there is one
            number; empty if all models count alike.
        combine: how the models are combined.
    """

    models: tuple[str, ...]
    name: str = ""
    stems: tuple[str, ...] = ()
    weights: tuple[tuple[float, ...], ...] = ()
    combine: Combination = "mean"


def members_of(options: Options) -> Members:
    """The models that the options name; of a preset, those that the chosen stems need.

    Raises:
        ConfigError: a preset is combined with other models or weights.
        UnknownNameError: the preset has no such stem.
    """
    models = tuple(catalogue_name(name) for name in options.model)
    preset = next(filter(None, map(_preset, models)), None)
    if preset is None:
        weights = tuple((weight,) for weight in options.weights)
        return Members(models, weights=weights, combine=options.combine)
    if len(models) > 1 or options.weights or options.combine != "mean":
        own = f"{preset.name} is a preset, which has its own models, weights and combination"
        problem = f"{own}; name it alone, without {option('weights')} and {option('combine')}"
        raise ConfigError(subject("model", options.model), [problem]).about("model")
    return _members(preset, options)


def models_to_load(options: Options) -> tuple[str, ...]:
    """Names of all models that a separation loads, each once."""
    if options.workflow:
        steps = (step.options(options) for step in read_workflow(options.workflow).steps)
        return tuple(dict.fromkeys(name for step in steps for name in models_to_load(step)))
    phase = (options.phase_model,) if options.phase_model else ()
    return tuple(dict.fromkeys((*members_of(options).models, *phase)))


def _preset(name: str) -> Preset | None:
    """The preset of a name that no installed model has."""
    return None if is_path(name) or is_known(name) else find_preset(name)


def _members(preset: Preset, options: Options) -> Members:
    combine = OF_SPECTRA[preset.method] if preset.domain == "spectra" else preset.method
    if not preset.weights:
        return Members(preset.members, preset.name, preset.stems, combine=combine)
    picks = select(preset.stems, options.stems, options.two_stems, options.karaoke).picks
    needed = [
        (model, weights)
        for model, weights in zip(preset.members, preset.weights, strict=True)
        if any(weights[pick] for pick in picks)
    ]
    models, weights = zip(*needed, strict=True)
    return Members(models, preset.name, preset.stems, weights, combine)

"""Importers: checkpoints of other programs become models of the zoo."""

from model_zoo.importers.convert import convert as convert

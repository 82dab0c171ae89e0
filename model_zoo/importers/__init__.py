"""Foreign checkpoints to models of the zoo."""

from model_zoo.importers.conversion import convert as convert

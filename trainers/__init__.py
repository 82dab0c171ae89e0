"""How a model learns: recipes, data, losses and the training loop."""

"""Training: recipes, data, losses, the training loop, and evaluation."""

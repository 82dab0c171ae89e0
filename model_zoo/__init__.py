"""Models: architectures, weights, and the cards that describe them."""

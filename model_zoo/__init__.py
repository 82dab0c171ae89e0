"""What a model is: architectures, weights and the cards that describe them."""

"""The zoo of bundled and added models: cards, installation, and names resolved to weights."""

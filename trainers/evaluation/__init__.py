"""How good separated stems are, measured against the true ones."""

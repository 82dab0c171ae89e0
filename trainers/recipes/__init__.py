"""The bundled recipes, and loading of any recipe."""

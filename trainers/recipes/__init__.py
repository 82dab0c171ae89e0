"""The recipes that come with the program, and reading of any."""

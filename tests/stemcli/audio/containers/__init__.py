"""Every supported format and container, combined with every oddity of files."""

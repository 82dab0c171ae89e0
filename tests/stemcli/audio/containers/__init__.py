"""Every format and container that is read, combined with every oddity of its files."""

"""Models that are bundled or were added: their cards, and how a name becomes weights."""

"""Plugins: the registry of defenses, attacks and so on, and the template of a new defense."""

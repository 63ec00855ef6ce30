"""This engine against other tools."""

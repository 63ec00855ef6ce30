"""Defenses, attacks and data sets of others: how they are found, and how a new one begins."""

"""Attacks, one file per family; each is written as the iteration of its paper."""

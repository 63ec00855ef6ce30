"""Attacks, one file a family: each reads like the iteration of its paper."""

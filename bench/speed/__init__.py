"""Comparison of this engine with other toolboxes."""

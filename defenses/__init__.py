"""The defenses: each is one file, whose name is the name of the defense."""

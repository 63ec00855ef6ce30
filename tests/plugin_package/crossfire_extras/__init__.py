"""A package of another author, with one plugin of each kind."""

"""A package of somebody else's, with one plugin of each kind."""

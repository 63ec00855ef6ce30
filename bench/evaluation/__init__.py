"""From a model and images to an outcome, and from an outcome to a record."""

"""Train adversarial defenses, attack them by one standard, rank them so that others can check."""

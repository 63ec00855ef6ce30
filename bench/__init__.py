"""Train adversarial defenses, attack them by one standard, keep a leaderboard that others can check."""

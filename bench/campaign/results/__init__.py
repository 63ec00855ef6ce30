"""The results of a campaign: tables and a figure, computed from its records."""

"""The leaderboard: records, evidence, ranks and releases. It imports neither torch nor bench."""

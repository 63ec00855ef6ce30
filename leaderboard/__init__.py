"""The memory: records, evidence, ranks, releases. Knows nothing of torch or of bench."""

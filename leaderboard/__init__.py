"""The memory: records, their evidence, and what follows from them. Knows nothing of torch or of bench."""

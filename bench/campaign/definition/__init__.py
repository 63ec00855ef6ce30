"""The campaign's file: what it may hold, and how it is read and checked."""

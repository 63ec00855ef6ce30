"""The measured: one file, one defense; the name of the file is the name of the defense."""

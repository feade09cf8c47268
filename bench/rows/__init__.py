"""The measurements: one file for each question."""

"""Remedies: what answers which finding, carried out on a copy of a training, and the code that does the same."""

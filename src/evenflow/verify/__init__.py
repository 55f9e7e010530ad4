"""Remedies tried: the original beside the candidates, from equal starts on equal batches."""

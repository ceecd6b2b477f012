"""Measuring a model on a test set: figures, rows, tables, what they cost, what the codes tell."""

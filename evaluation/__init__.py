"""Evaluating a model on test sets: metrics, rows, tables, reports, what it costs, what its codes tell."""

"""Formulas of the metrics: tensors in, numbers out."""

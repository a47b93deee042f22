"""Formulas: tensors in, numbers out."""

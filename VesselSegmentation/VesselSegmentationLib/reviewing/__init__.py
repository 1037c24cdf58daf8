"""Comparison with a reference: error map, list of its errors, metrics."""

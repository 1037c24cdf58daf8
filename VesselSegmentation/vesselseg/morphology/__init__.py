"""Shapes of labels: centrelines, calibre, pieces."""

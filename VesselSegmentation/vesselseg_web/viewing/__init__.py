"""Slice and 3D views, clicks and brushes in them."""

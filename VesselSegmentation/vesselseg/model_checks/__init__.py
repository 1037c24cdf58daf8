"""Measures models: beside baselines, in low precision; chooses what may be computed in 8 bits."""

"""From a scan to the probability of a model: preparation, windows, first result early."""

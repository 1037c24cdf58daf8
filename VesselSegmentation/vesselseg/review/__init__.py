"""What is found by comparing a label or a probability with a reference: error map, errors, thresholds."""

"""What the page shows; draws the states and calls the logics."""

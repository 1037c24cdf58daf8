"""Tables of metrics, and reports as HTML and PDF."""

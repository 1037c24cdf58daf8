"""Nodes of the scene and arrays, and how a scan is shown; knows nothing of what is done with them."""

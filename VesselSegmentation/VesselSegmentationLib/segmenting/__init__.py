"""From a scan node to the nodes of its vessels and their probability."""

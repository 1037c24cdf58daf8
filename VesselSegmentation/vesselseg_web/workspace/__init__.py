"""What one visitor works on: the case, its scene, saved sessions."""

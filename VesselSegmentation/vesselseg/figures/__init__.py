"""Pictures of error maps, surfaces and curves."""

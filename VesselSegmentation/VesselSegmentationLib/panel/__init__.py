"""The sections of 3D Slicer's panel; the only folder that asks for Qt and the application."""

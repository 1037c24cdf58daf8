"""What needs a MRML scene: nodes to arrays and back, segments, and the worker process that segments.

The scene comes in as an argument. Nothing here asks for the application, for Qt or for torch, so that the same code
serves 3D Slicer and the browser front end, and importing it is quick.
"""

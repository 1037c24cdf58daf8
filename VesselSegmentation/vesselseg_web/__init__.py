"""The browser front end: the same work as in 3D Slicer's panel, on trame-slicer.

From a click to the processing: `page_ui` and the other ``*_ui`` modules draw and emit signals; the ``*_logic`` modules
answer them, and write what is to be drawn into the state objects of `states`; `case` holds the scene with the scan and
calls `VesselSegmentationLib`, which is what the panel calls. `access` and `transfers` stand between the network and all
of that. Nothing here computes.
"""

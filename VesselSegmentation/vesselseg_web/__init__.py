"""The browser front end: the same work as in 3D Slicer's panel, on trame-slicer.

From a click to the processing: `page_ui` and the other ``*_ui`` modules draw and emit signals; the ``*_logic`` modules
answer them, and write what is to be drawn into the state objects of `states`; `case` holds the scene with the scan and
calls `VesselSegmentationLib`, which is what the panel calls. All of that runs in a process of its own for each visitor
(`visit_server`, `application`); before it stands the `reception` (`server`, `access`, `visits`, `forwarding`). Files
come in and go out by `transfers`; what they are is found out in `arrivals`, `archives` and `session_scene`. Nothing
here computes.
"""

from __future__ import annotations

from types import SimpleNamespace

from vesselseg_web.ui.page_ui import PageUI


def elements_of(element):
    yield element
    for child in element.children:
        if not isinstance(child, str):
            yield from elements_of(child)


def test_no_attribute_is_left_out_without_a_word(page):
    root = PageUI(page.server, SimpleNamespace(draw=lambda layout: None)).layout.root
    assert root.html
    left_out = {(each._elem_name, name) for each in elements_of(root) for name in each._impl.skipped_attributes}
    assert left_out == set()

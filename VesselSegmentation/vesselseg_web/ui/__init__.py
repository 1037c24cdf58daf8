"""What the page shows; draws the states and calls the logics."""

from trame_client.widgets.core import AbstractElement

# trame leaves out attributes that it does not know, without a word.
for _attribute in ("role", "aria_label", "aria_pressed", "aria_current"):
    AbstractElement.register_directive(_attribute, _attribute.replace("_", "-"))

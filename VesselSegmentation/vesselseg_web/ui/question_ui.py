"""The question before corrections are lost."""

from __future__ import annotations

from typing import Any

from trame.widgets.vuetify3 import VBtn, VCard, VCardActions, VCardText, VDialog, VSpacer
from undo_stack import Signal

from vesselseg_web.logic.states import QuestionState
from vesselseg_web.ui.section_ui import names_of

#: HTML ID of the form that ends the visit.
END_FORM = "vs-end"


class QuestionUI:
    """Draws the question over everything else.

    Parameters
    ----------
    server : Server
    """

    agreed = Signal()
    declined = Signal()

    def __init__(self, server: Any) -> None:
        name = names_of(server, QuestionState)
        with (
            # Persistent: it has to be answered, and not by a click beside it.
            VDialog(model_value=(f"!!{name.title}",), persistent=True, max_width=480, aria_label=(name.title,)),
            VCard(title=(name.title,), classes="vs-question"),
        ):
            VCardText(f"{{{{ {name.text} }}}}")
            with VCardActions():
                VSpacer()
                VBtn(f"{{{{ {name.keep} }}}}", click=self.declined, variant="flat", color="primary", classes="vs-keep")
                options = {"variant": "text", "color": "error", "classes": "vs-go-on"}
                VBtn(f"{{{{ {name.go_on} }}}}", v_if=(f"!{name.ends}",), click=self.agreed, **options)
                # No message to the server: its answer would never come.
                VBtn(
                    f"{{{{ {name.go_on} }}}}",
                    v_else=True,
                    raw_attrs=['type="submit"', f'form="{END_FORM}"'],
                    **options,
                )

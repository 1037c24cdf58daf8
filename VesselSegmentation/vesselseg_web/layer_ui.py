"""Visibility and opacity of one layer, in slices and in 3D."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VSlider

from vesselseg_web.layers import layer_state


def draw_layer(server: Any, name: str, title: str) -> None:
    """Draw the switches and sliders of a layer, in one line.

    Parameters
    ----------
    server : Server
    name : str
        As of `layers.layer_state`.
    title : str
        For tooltips: what is shown.
    """
    names = layer_state(server.state, name).name
    views = (
        ("2D", "slices", names.slices, names.slices_opacity),
        ("3D", "3D", names.three_d, names.three_d_opacity),
    )
    with html.Div(classes=f"d-flex align-center vs-layer vs-layer-{name.replace('_', '-')}"):
        for text, where, shown, opacity in views:
            VBtn(
                text,
                size="small",
                density="comfortable",
                min_width=52,
                prepend_icon=(f"{shown} ? 'mdi-eye' : 'mdi-eye-off'",),
                variant=(f"{shown} ? 'tonal' : 'text'",),
                click=f"{shown} = !{shown}",
                title=f"Show or hide {title} in {where}",
                classes=f"px-1 text-none vs-show-{text.lower()}",
            )
            VSlider(
                v_model=(opacity,),
                min=0,
                max=100,
                step=1,
                disabled=(f"!{shown}",),
                density="compact",
                hide_details=True,
                thumb_size=12,
                track_size=2,
                color="primary",
                aria_label=f"Opacity of {title} in {where}",
                title=(f"'Opacity of {title} in {where}: ' + {opacity} + ' %'",),
            )

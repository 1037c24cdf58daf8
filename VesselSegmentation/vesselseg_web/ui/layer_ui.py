"""Visibility and opacity of one layer, in slices and in 3D."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VBtn, VSlider

from vesselseg_web.logic.layers import layer_state


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
    with html.Div(classes=f"d-flex align-center vs-layer vs-layer-{_css(name)}"):
        for text, where, shown, opacity in (
            ("2D", "slices", names.slices, names.slices_opacity),
            ("3D", "3D", names.three_d, names.three_d_opacity),
        ):
            _draw_switch(text, shown, title, where)
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
                title=f"Opacity of {title} in {where}",
            )
            html.Span(
                f"{{{{ {opacity} }}}} %",
                classes=(f"'vs-number' + ({shown} ? '' : ' text-disabled')",),
            )


def draw_switches(server: Any, name: str, title: str, *, disabled: str) -> None:
    """Draw only the switches of a layer; parameters as `draw_layer`, and an expression that disables them."""
    names = layer_state(server.state, name).name
    with html.Div(classes=f"d-flex align-center vs-layer vs-layer-{_css(name)}"):
        for text, where, shown in (("2D", "slices", names.slices), ("3D", "3D", names.three_d)):
            _draw_switch(text, shown, title, where, disabled=(disabled,))


def _draw_switch(text: str, shown: str, title: str, where: str, **options: Any) -> None:
    VBtn(
        text,
        size="small",
        density="comfortable",
        min_width=52,
        prepend_icon=(f"{shown} ? 'mdi-eye' : 'mdi-eye-off'",),
        variant=(f"{shown} ? 'tonal' : 'text'",),
        click=f"{shown} = !{shown}",
        title=f"Show or hide {title} in {where}",
        # There are many of the same text; that it is pressed says that they are shown.
        aria_label=f"{text}: {title}",
        aria_pressed=(shown,),
        classes=f"px-1 vs-show-{text.lower()}",
        **options,
    )


def _css(name: str) -> str:
    return name.replace("_", "-")

"""The module ``ctk``: stand-ins for the few CTK widgets that the panel and Slicer's parameter nodes name."""

from __future__ import annotations

from typing import Any

import qt
from qt import Property, Signal

# Qt's own class, where size and style are methods.
QWidget = qt.QtWidgets.QWidget


def simple_property(kind: type | str, name: str, default: Any) -> Property:
    """Return a Qt property that only remembers its value."""
    field = f"_{name}"
    return Property(kind, lambda self: getattr(self, field, default), lambda self, value: setattr(self, field, value))


class _Collapsible:
    """Hides its contents when it is collapsed, and shows again what it has hidden itself."""

    _hidden: tuple = ()

    def _show_contents(self, shown: bool) -> None:
        if shown:
            for child in self._hidden:
                child.setVisible(True)
            self._hidden = ()
        else:
            self._hidden = tuple(c for c in self.children() if c.isWidgetType() and not c.isHidden())
            for child in self._hidden:
                child.setVisible(False)


@qt.derived
class ctkCollapsibleButton(_Collapsible, QWidget):
    contentsCollapsed = Signal(bool)
    _signatures = ("contentsCollapsed(bool)",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._collapsed = False
        self._text = ""
        self.setContentsMargins(0, self._header_height(), 0, 0)

    def _header_height(self) -> int:
        return self.fontMetrics().height() + 10

    def _set_text(self, text: str) -> None:
        self._text = text
        self.update()

    def setCollapsed(self, collapsed: bool) -> None:
        if collapsed != self._collapsed:
            self._collapsed = collapsed
            self._show_contents(not collapsed)
            self.contentsCollapsed.emit(collapsed)

    text = Property(str, lambda self: self._text, _set_text)
    collapsed = Property(bool, lambda self: self._collapsed, setCollapsed)

    def showEvent(self, event: Any) -> None:
        if self._collapsed and not self._hidden:  # collapsed in the .ui file, before there were contents
            self._show_contents(False)
        super().showEvent(event)

    def mousePressEvent(self, event: Any) -> None:
        if event.position().y() < self._header_height():
            self.setCollapsed(not self._collapsed)

    def paintEvent(self, event: Any) -> None:
        painter = qt.QPainter(self)
        option = qt.QStyleOptionButton()
        option.initFrom(self)
        option.rect = qt.QRect(0, 0, QWidget.width(self), self._header_height())
        style = QWidget.style(self)
        style.drawControl(qt.QStyle.ControlElement.CE_PushButtonBevel, option, painter, self)
        painter.drawText(
            option.rect.adjusted(8, 0, 0, 0),
            qt.Qt.AlignmentFlag.AlignVCenter,
            ("\u25b8  " if self._collapsed else "\u25be  ") + self._text,
        )
        painter.end()


@qt.derived
class ctkCollapsibleGroupBox(_Collapsible, qt.QtWidgets.QGroupBox):
    """Expanded and collapsed by its check box, as the real one."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.setCheckable(True)
        self.toggled.connect(self._show_contents)

    title = Property(str, lambda self: qt.QtWidgets.QGroupBox.title(self), lambda self, t: self.setTitle(t))
    collapsed = Property(bool, lambda self: not self.isChecked(), lambda self, value: self.setChecked(not value))

    def showEvent(self, event: Any) -> None:
        if not self.isChecked() and not self._hidden:
            self._show_contents(False)
        super().showEvent(event)


@qt.derived
class ctkSliderWidget(QWidget):
    """A slider with a spin box; the value is what the spin box holds."""

    valueChanged = Signal(float)
    _signatures = ("valueChanged(double)",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._spin_box = qt.QtWidgets.QDoubleSpinBox(self)
        self._slider = qt.QtWidgets.QSlider(qt.Qt.Orientation.Horizontal, self)
        self._slider.setRange(0, 1000)
        layout = qt.QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spin_box)
        self._spin_box.valueChanged.connect(self._on_value)
        self._slider.sliderMoved.connect(self._on_slider)

    def _on_value(self, value: float) -> None:
        span = self._spin_box.maximum() - self._spin_box.minimum()
        self._slider.setValue(round(1000 * (value - self._spin_box.minimum()) / span) if span else 0)
        self.valueChanged.emit(value)

    def _on_slider(self, position: int) -> None:
        low, high = self._spin_box.minimum(), self._spin_box.maximum()
        self._spin_box.setValue(low + (high - low) * position / 1000)

    def setValue(self, value: float) -> None:
        self._spin_box.setValue(float(value))

    def setRange(self, minimum: float, maximum: float) -> None:
        self._spin_box.setRange(minimum, maximum)

    value = Property(float, lambda self: self._spin_box.value(), setValue)
    minimum = Property(float, lambda self: self._spin_box.minimum(), lambda self, v: self._spin_box.setMinimum(v))
    maximum = Property(float, lambda self: self._spin_box.maximum(), lambda self, v: self._spin_box.setMaximum(v))
    decimals = Property(int, lambda self: self._spin_box.decimals(), lambda self, v: self._spin_box.setDecimals(v))
    singleStep = Property(float, lambda self: self._spin_box.singleStep(), lambda s, v: s._spin_box.setSingleStep(v))
    suffix = Property(str, lambda self: self._spin_box.suffix(), lambda self, text: self._spin_box.setSuffix(text))
    pageStep = simple_property(float, "page_step", 10.0)
    tracking = simple_property(bool, "tracking", True)


def named_only(name: str) -> type:
    """Return a class that can be named, as Slicer's own code does, but not made: nothing here needs one."""

    def refuse(self: Any, *arguments: Any) -> None:
        raise TypeError(f"this host has no {name}")

    return type(name, (), {"__init__": refuse})


for _name in (
    *("ctkCheckBox", "ctkCheckablePushButton", "ctkColorPickerButton", "ctkComboBox", "ctkDirectoryButton"),
    *("ctkDoubleRangeSlider", "ctkDoubleSlider", "ctkDoubleSpinBox", "ctkPathLineEdit", "ctkRangeWidget"),
):
    globals()[_name] = named_only(_name)

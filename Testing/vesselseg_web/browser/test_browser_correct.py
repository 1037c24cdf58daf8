"""Correcting vessels in a real Chromium: strokes and clicks of a mouse, and the labels that are downloaded then."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

pytest.importorskip("trame_slicer", reason="needs trame-slicer")

from chromium import Visit
from served_page import serving
from vesselseg.image_io import read_label, read_volume

pytestmark = pytest.mark.slow


class Reader(Visit):
    """Somebody who corrects vessels in the middle axial slice, which the page shows alone."""

    def __init__(self, chromium, address, folder):
        super().__init__(chromium, address)
        self._address, self._folder, self._downloads = address, folder, 0
        self.geometry = None

    def fetch(self, what, suffix=".nii.gz"):
        """Get what a button of the section "Save" offers, whichever section is open; returns where it lies."""
        self._downloads += 1
        path = self._folder / f"{self._downloads}{suffix}"
        answer = self.page.request.get(f"{self._address}download/{what}?format={suffix}")
        assert answer.ok
        path.write_bytes(answer.body())
        return path

    def label(self):
        volume = read_label(self.fetch("label"))
        self.geometry = volume.geometry
        return volume.array != 0

    def pixel(self, voxel):
        """Return where the view shows a voxel (k, j, i): the whole slice fits in, the patient's right is left."""
        box = self.page.locator(".layout-grid-container").first.bounding_box()
        geometry = self.geometry
        size_mm = np.array(geometry.size[:2]) * geometry.spacing[:2]
        mm_per_pixel = max(size_mm / [box["width"], box["height"]])
        matrix = geometry.ijk_to_ras()
        middle = matrix @ [*((np.array(geometry.size) - 1) / 2), 1.0]
        right, anterior = ((matrix @ [*voxel[::-1], 1.0]) - middle)[:2]
        x = box["x"] + box["width"] / 2 - right / mm_per_pixel
        y = box["y"] + box["height"] / 2 - anterior / mm_per_pixel
        return float(x), float(y)

    def drag(self, *voxels):
        mouse = self.page.mouse
        first, *others = (self.pixel(voxel) for voxel in voxels)
        mouse.move(*first)
        mouse.down()
        for x, y in others:
            mouse.move(x, y, steps=4)
            self.settle()
        mouse.up()

    def settle(self):
        """Wait until the server has the last move of the mouse: the page drops those that come faster than answers."""
        for _ in range(2):
            self.page.evaluate("window.trame.trigger('vesselseg_shortcut', ['nothing'])")
            self.page.wait_for_timeout(50)

    def point(self, voxel):
        self.page.mouse.click(*self.pixel(voxel))

    def press(self, key):
        self.page.keyboard.press(key)

    def hint(self, words):
        self.see(f".vs-hint:has-text('{words}')")

    def steps(self, number):
        self.page.wait_for_function(
            "number => document.querySelectorAll('.vs-step').length === number", arg=number, polling=100
        )

    def show(self, name):
        """Keep a picture for people, once it is sharp; all that is pressed now must be in sight."""
        self.page.wait_for_timeout(1000)
        self.keep(f"correct-{name}")
        for button in ("apply", "cancel", "undo", "redo"):
            box = self.page.locator(f".vs-{button}").bounding_box()
            assert box["y"] + box["height"] <= 720, button


def middle_of(pieces, k, chosen=min):
    """Return the number of the smallest (or largest) piece that a slice shows, and a voxel of it there."""
    _voxels, piece = chosen((int(np.sum(pieces == each)), each) for each in np.unique(pieces[k]) if each)
    places = np.argwhere(pieces[k] == piece)
    return piece, (k, *places[len(places) // 2])


def test_correcting(chromium, tmp_path):
    with serving(tmp_path) as served:
        reader = Reader(chromium, served.address, tmp_path)
        reader.segment_phantom()
        reader.choose_layout("Axial")
        reader.open_section("correct")
        assert reader.page.locator(".vs-tool-error").is_disabled()
        found = reader.label()
        k = found.shape[0] // 2

        # By hand, far from all vessels: a stroke, half of it erased, a part of the rest cut out.
        far = ndimage.distance_transform_edt(~found.any(axis=0))
        far[:30] = far[-30:] = 0  # there are letters and a slider at the view's edges
        far[:, :30] = far[:, -30:] = 0
        j, i = np.unravel_index(np.argmax(far), far.shape)
        left, right = (k, j, i - 9), (k, j, i + 9)
        reader.click(".vs-tool-paint")
        reader.hint("Drag")
        reader.page.get_by_label("Only as bright as vessels").click()
        reader.drag(left, right)
        reader.steps(1)
        reader.show("1-painted")
        states = [found, reader.label()]
        painted = np.argwhere(states[1] & ~found)
        assert not np.any(found & ~states[1])
        np.testing.assert_allclose(painted.mean(axis=0), np.mean([left, right], axis=0), atol=2)
        assert np.ptp(painted[:, 2]) >= 17
        reader.click(".vs-tool-erase")
        reader.drag(right, (k, j, i))
        reader.steps(2)
        states.append(reader.label())
        assert states[2][left]
        assert not states[2][right]
        reader.click(".vs-tool-scissors")
        reader.hint("inside the line")
        corners = [(k, j + b, left[2] + a) for a, b in ((-6, -6), (3, -6), (3, 6), (-6, 6))]
        reader.drag(*corners, corners[0])
        reader.steps(3)
        reader.show("2-scissors")
        states.append(reader.label())
        assert not states[3][left]
        assert states[3][k, j, i - 3]
        for number in (2, 1, 0):
            reader.press("Control+z")
            reader.steps(number)
            np.testing.assert_array_equal(reader.label(), states[number])
        reader.click(".vs-redo")
        reader.steps(1)
        np.testing.assert_array_equal(reader.label(), states[1])
        reader.click(".vs-undo")
        reader.steps(0)

        # A click beside everything, then one on a piece.
        reader.click(".vs-tool-removePiece")
        reader.point((k, j, i))
        reader.hint("no vessel within")
        pieces, _ = ndimage.label(found, np.ones((3, 3, 3)))
        piece, place = middle_of(pieces, k)
        reader.point(place)
        reader.hint("Apply or Cancel")
        np.testing.assert_array_equal(reader.label(), found)
        reader.press("Enter")
        reader.steps(1)
        removed = reader.label()
        np.testing.assert_array_equal(removed, found & (pieces != piece))

        # A branch, shown but not wanted.
        reader.click(".vs-tool-removeBranch")
        _piece, place = middle_of(pieces, k, max)
        reader.point(place)
        reader.hint("Apply or Cancel")
        reader.show("3-branch")
        reader.click("button[title='Dark or light']")
        reader.show("4-branch-light")
        reader.click("button[title='Dark or light']")
        # Another tool takes back what was shown; a letter in a field is no key of the page.
        reader.click(".vs-tool-trace")
        reader.hint("Click along")
        field = reader.page.get_by_label("Reader")
        field.fill("Dr. ")
        field.press_sequentially("Max")
        field.press("Enter")
        field.blur()
        reader.steps(1)
        np.testing.assert_array_equal(reader.label(), removed)

        # A vessel through two clicks.
        reader.point(left)
        reader.hint("Click the next place")
        reader.point(right)
        reader.hint("Apply or Cancel")
        reader.show("5-trace")
        reader.press("Enter")
        reader.steps(2)
        added = np.argwhere(reader.label() & ~removed)
        for end in (left, right):
            assert np.min(np.linalg.norm(added - end, axis=1)) < 3
        for number in (1, 0):
            reader.press("Control+z")
            reader.steps(number)
        np.testing.assert_array_equal(reader.label(), found)

        # Errors, by a click in the view: one rejected, one accepted.
        reader.open_section("review")
        reader.click(".vs-compare-button")
        reader.see(".vs-errors tbody tr")
        reader.open_section("correct")
        errors = read_volume(reader.fetch("errormap")).array
        wrong = np.argwhere(errors[k] >= 2)
        place = (k, *wrong[len(wrong) // 2])
        reader.click(".vs-tool-error")
        reader.click(".vs-correct .v-select:has-text('Decision')")
        reader.click(".v-overlay .v-list-item-title:has-text('Reject')")
        reader.point(place)
        reader.hint("keep the vessels")
        reader.press("Enter")
        reader.steps(1)
        np.testing.assert_array_equal(reader.label(), found)
        reader.click(".vs-correct .v-select:has-text('Decision')")
        reader.click(".v-overlay .v-list-item-title:has-text('Accept')")
        reader.point(place)
        reader.hint("Apply or Cancel")
        reader.show("6-error")
        reader.click(".vs-apply")
        reader.steps(2)
        corrected = reader.label()
        assert corrected[place] != found[place]
        assert np.all(errors[corrected != found] >= 2)
        assert "Dr. Max" in reader.fetch("edits", ".json").read_text()

        # What is saved is there again.
        reader.open_section("save")
        reader.download("session", tmp_path / "session.mrb")
        reader.open_section("scan")
        reader.send("scan", tmp_path / "session.mrb")
        reader.see(".vs-status:has-text('is restored')")
        np.testing.assert_array_equal(reader.label(), corrected)
        assert reader.mistakes == []
        assert "Traceback" not in served.text

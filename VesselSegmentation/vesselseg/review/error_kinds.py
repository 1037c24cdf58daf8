"""What an error map can say about a voxel: its values, their words and their colours."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from vesselseg.errors import VesselSegError

#: Red, green and blue, each in [0, 1].
Colour = tuple[float, float, float]


class ErrorKind(IntEnum):
    """Values of an error map."""

    TRUE_POSITIVE = 1
    FALSE_POSITIVE = 2
    FALSE_NEGATIVE = 3

    @property
    def title(self) -> str:
        """For people."""
        return self.name.replace("_", " ").lower()


@dataclass(frozen=True)
class Wording:
    """How two compared labels and what they have in common are called.

    Parameters
    ----------
    first, second : str
        Names of the two labels.
    titles : tuple of str
        Names of the kinds, in the order of `ErrorKind`.
    """

    first: str = "segmentation"
    second: str = "reference"
    titles: tuple[str, str, str] = tuple(kind.title for kind in ErrorKind)  # type: ignore[assignment]

    def title(self, kind: ErrorKind) -> str:
        """Return the name of a kind."""
        return self.titles[kind - 1]

    @property
    def map_title(self) -> str:
        """Name of the map of all kinds."""
        return "error map" if self == WITH_REFERENCE else "comparison"

    @property
    def piece_title(self) -> str:
        """Name of a connected piece in which the labels differ."""
        return "error" if self == WITH_REFERENCE else "difference"

    @property
    def order_note(self) -> str:
        """What flat pictures of the map show where several kinds lie in one line of sight."""
        agreement = "true positives" if self == WITH_REFERENCE else "agreement"
        return f"where kinds lie behind one another, {self.piece_title}s are drawn over {agreement}"


#: A segmentation that is judged by a reference.
WITH_REFERENCE = Wording()


def wording_of_two(first: str, second: str) -> Wording:
    """Return the words for two results of which neither is the truth: two models, or two readers.

    Parameters
    ----------
    first, second : str
        Names of the results.

    Returns
    -------
    Wording

    Raises
    ------
    VesselSegError
        If the names are empty or the same.

    Examples
    --------
    >>> wording_of_two("reader 1", "reader 2").titles
    ('agreement', 'only reader 1', 'only reader 2')
    """
    first, second = first.strip(), second.strip()
    if not first or not second or first == second:
        raise VesselSegError(f"'{first}' and '{second}' cannot be told apart", "give two different names")
    return Wording(first, second, ("agreement", f"only {first}", f"only {second}"))


@dataclass(frozen=True)
class Palette:
    """Colours of the kinds; the same in slices, 3D views, legends and reports.

    Parameters
    ----------
    title : str
        For people.
    colours : tuple of Colour
        In the order of `ErrorKind`.
    """

    title: str
    colours: tuple[Colour, Colour, Colour]

    def colour(self, kind: ErrorKind) -> Colour:
        """Return the colour of a kind."""
        return self.colours[kind - 1]


#: Palettes by name. In the colour-blind safe one any two colours differ by at least 28 (CIEDE2000) in the simulation of
#: protanopia, deuteranopia and tritanopia of Machado et al. 2009 (doi:10.1109/TVCG.2009.113), against 13 in the
#: standard one. Blue stays false negative; orange and light blue are those of Okabe and Ito.
PALETTES = {
    "standard": Palette("red, green, blue", ((0.90, 0.10, 0.10), (0.10, 0.80, 0.20), (0.15, 0.35, 1.00))),
    "colour-blind": Palette("colour-blind safe", ((0.90, 0.62, 0.00), (0.34, 0.71, 0.91), (0.12, 0.24, 0.86))),
}
STANDARD_PALETTE = PALETTES["standard"]


def find_palette(name: str) -> Palette:
    """Return a palette by its name; a `VesselSegError` if there is none of that name."""
    if name not in PALETTES:
        raise VesselSegError(f"there is no palette '{name}'", f"choose {' or '.join(PALETTES)}")
    return PALETTES[name]

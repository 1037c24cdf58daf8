"""What the headers of DICOM images say: where each of them lies, and how much their series is like a TOF angiogram."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vesselseg.errors import VesselSegError
from vesselseg.formats.dicom_slices import DICOM_READER, check_directions, check_pixel_spacing, has_frames

#: What the type of a slice's voxels follows from: rescale slope and intercept; bits allocated, bits stored, and sign.
_VALUES = ("0028|1052", "0028|1053", "0028|0100", "0028|0101", "0028|0103")
_POSITION, _ORIENTATION, _PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"
_INSTANCE, _INSTANCE_NUMBER, _FRAMES = "0008|0018", "0020|0013", "0028|0008"
_MODALITY, _IMAGE_TYPE, _DESCRIPTION, _PROTOCOL = "0008|0060", "0008|0008", "0008|103e", "0018|1030"
_ANGIO_FLAG, _TOF_CONTRAST = "0018|0025", "0018|9015"
_TAGS = (
    *_VALUES, _POSITION, _ORIENTATION, _PIXEL_SPACING, _INSTANCE, _INSTANCE_NUMBER, _FRAMES, _MODALITY, _IMAGE_TYPE,
    _DESCRIPTION, _PROTOCOL, _ANGIO_FLAG, _TOF_CONTRAST,
)  # fmt: skip
#: What operators and vendors call time-of-flight angiography; Philips' examples are named by the way of acquisition.
_TOF_NAMES = re.compile(r"tof|time.?of.?flight|inflow|3di(?![a-z])|willis|(?<![a-z])cow(?![a-z])", re.IGNORECASE)
_ANGIOGRAM_NAMES = re.compile(r"mra(?![a-z])|angio", re.IGNORECASE)
#: Of angiograms: those of veins and of the neck, and those with contrast agent or by phase contrast.
_OTHER_NAMES = re.compile(
    r"(?<![a-z])(?:mrv|ven(?:o|(?![a-z]))|carot|ce(?:mra)?(?![a-z])|twist|tricks|pca?(?![a-z])|contrast)",
    re.IGNORECASE,
)
#: What is said of TOF as well: that it is without contrast agent ("without and with" tells of some), and where its
#: saturation lies.
_NOT_OTHER_NAMES = re.compile(
    r"(?<![a-z])(?:(?:non?|w/?o|without|pre)(?:[\W_]+(?!(?:w|with|post)(?![a-z]))[a-z]+){0,2}[\W_]*contrast"
    r"|(?:pc|ven[a-z]*)[\W_]*sat[a-z]*)",
    re.IGNORECASE,
)
#: Pictures made from a scan, which are no scan: maximum intensity projections, reformats, scouts, screen shots. Words
#: begin there: "compressed" and "improved" are said of scans.
_NO_SCAN = re.compile(
    r"(?<![a-z])t?mip|(?:max|min)_?ip|projection|reformat|localizer|scout|screen|(?<![a-z])mpr(?!age)", re.IGNORECASE
)
#: Results and plans, which may lie beside the scan that they were made of.
NO_SCAN_MODALITY = re.compile("SEG|RT.*|SR|PR|KO|REG")
FEWEST_SLICES = 16


class SeriesKind(enum.IntEnum):
    """What a series can be; the higher, the more it is like what is looked for."""

    #: Projections, reformats, scouts, results.
    NO_SCAN = 0
    #: A scan that is not MR.
    OTHER_SCAN = 1
    SCAN = 2
    #: Of veins or of the neck, with contrast agent or by phase contrast.
    OTHER_ANGIOGRAM = 3
    ANGIOGRAM = 4
    TOF = 5


@dataclass(frozen=True, eq=False)
class DicomHeader:
    """The header of an image, as ITK reads it.

    Parameters
    ----------
    path : str
    size : tuple of int
        Columns and rows.
    position : tuple of float
        Of the first voxel, in mm.
    plane : ndarray
        Directions of rows and columns, and the distances between them in mm.
    normal : ndarray
        Direction of the slices.
    tags : dict of str to str
        What else is asked of it, by ITK's names; empty if it is not told.
    """

    path: str
    size: tuple[int, int]
    position: tuple[float, ...]
    plane: NDArray[np.float64]
    normal: NDArray[np.float64]
    tags: dict[str, str] = field(repr=False)

    @classmethod
    def read(cls, path: str) -> DicomHeader:
        """Read the header of a file; raises `RuntimeError` if ITK does not read it."""
        import SimpleITK as sitk

        reader = sitk.ImageFileReader()
        reader.SetImageIO(DICOM_READER)
        reader.SetFileName(path)
        reader.ReadImageInformation()
        tags = {tag: str(reader.GetMetaData(tag)).strip() if reader.HasMetaDataKey(tag) else "" for tag in _TAGS}
        columns, rows = reader.GetSize()[:2]
        axes = np.reshape(reader.GetDirection(), (reader.GetDimension(), -1))[:3]
        plane = np.concatenate([axes[:, :2].T.ravel(), reader.GetSpacing()[:2]])
        return cls(path, (columns, rows), tuple(reader.GetOrigin()[:3]), plane, axes[:, 2], tags)

    @property
    def frames(self) -> int:
        """How many slices it holds."""
        frames = self.tags[_FRAMES]
        return int(frames) if frames.isdigit() else 1

    @property
    def values(self) -> tuple[str, ...]:
        """What the type of its voxels follows from."""
        return tuple(self.tags[tag] for tag in _VALUES)

    @property
    def identity(self) -> tuple[object, ...]:
        """By what copies of an image are known; anonymisation may give all of a series the same identifier."""
        return self.tags[_INSTANCE] or self.path, self.tags[_INSTANCE_NUMBER], self.position

    @property
    def modality(self) -> str:
        """As in "MR"."""
        return self.tags[_MODALITY]

    @property
    def description(self) -> str:
        """What the scanner calls its series."""
        return self.tags[_DESCRIPTION] or self.tags[_PROTOCOL]

    @property
    def is_named_tof(self) -> bool:
        """Whether its series is called time-of-flight."""
        return _TOF_NAMES.search(self.description) is not None

    @property
    def is_derived(self) -> bool:
        """Whether it says that it was made from other images."""
        return self.tags[_IMAGE_TYPE].upper().startswith("DERIVED")

    @property
    def is_projection(self) -> bool:
        """Whether it is said to be a projection or the like, which may share its series with the scan."""
        return _NO_SCAN.search(self.tags[_IMAGE_TYPE]) is not None

    def kind(self, slices: int) -> SeriesKind:
        """Tell what a series of such images is, if it has so many slices."""
        if (
            slices < FEWEST_SLICES
            or NO_SCAN_MODALITY.fullmatch(self.modality)
            or _NO_SCAN.search(f"{self.tags[_IMAGE_TYPE]} {self.description}")
        ):
            return SeriesKind.NO_SCAN
        if self.modality != "MR":
            return SeriesKind.OTHER_SCAN
        name = self.description
        if not (_TOF_NAMES.search(name) or _ANGIOGRAM_NAMES.search(name)):
            name += f" {self.tags[_PROTOCOL]}"  # which with some vendors is that of the whole study
        is_tof = _TOF_NAMES.search(name) or self.tags[_TOF_CONTRAST] == "YES"
        if not (is_tof or _ANGIOGRAM_NAMES.search(name) or self.tags[_ANGIO_FLAG] == "Y"):
            return SeriesKind.SCAN
        if _OTHER_NAMES.search(_NOT_OTHER_NAMES.sub(" ", name)):
            return SeriesKind.OTHER_ANGIOGRAM
        return SeriesKind.TOF if is_tof else SeriesKind.ANGIOGRAM

    def check(self, where: str) -> None:
        """Refuse a slice whose position, directions or pixel sizes ITK makes up or replaces."""
        position, directions, spacing = (
            self.tags[tag].split("\\") if self.tags[tag] else [] for tag in (_POSITION, _ORIENTATION, _PIXEL_SPACING)
        )
        if not (position and directions and spacing) and has_frames(self.path):
            return  # which hold theirs elsewhere
        check_directions(directions, where=where)
        check_pixel_spacing(spacing, where=where)
        if not position:
            raise VesselSegError(f"{where} does not say where its slices lie", "export it again, or as NIfTI")

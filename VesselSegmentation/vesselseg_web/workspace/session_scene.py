"""The scene description of a saved session, as somebody sends it: only what is known of it is taken over.

A session is a MRML bundle (.mrb), as 3D Slicer saves it: a zip archive with a scene description (XML) and data files. A
scene may name any file or address to be read, so its description is written anew: with nodes of known kinds only, and
with data files that are in the archive and hold their voxels themselves.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote
from xml.etree import ElementTree

from vesselseg.errors import VesselSegError
from vesselseg.formats.itk_messages import quiet_itk
from vesselseg.image_io import image_reader
from vesselseg_web.uploads.arrivals import SESSION_SUFFIX
from vesselseg_web.uploads.upload_checks import MAX_VOXELS, check_unpacked_size, image_suffix_of

_VOLUME_STORAGE, _SEGMENTATION_STORAGE = "VolumeArchetypeStorage", "SegmentationStorage"
#: Kinds of nodes that belong to a session, by their names in scene descriptions.
SESSION_TAGS = (
    *("Volume", "VolumeDisplay", "LabelMapVolume", "LabelMapVolumeDisplay", _VOLUME_STORAGE),
    *("Segmentation", "SegmentationDisplay", _SEGMENTATION_STORAGE),
)
#: Those that hold voxels, and how they can be displayed.
_DATA_TAGS = {
    "Volume": "VolumeDisplay",
    "LabelMapVolume": "LabelMapVolumeDisplay",
    "Segmentation": "SegmentationDisplay",
}
_FILE_ATTRIBUTES = re.compile(r"filename|filelistmember\d*|uri|urilistmember\d*", re.IGNORECASE)
_LONGEST_DESCRIPTION = 32 << 20
_MOST_NODES = 500
#: Voxels of all files together, in multiples of the most that one scan may have.
_MOST_SCANS = 4


def check_written(path: Path) -> None:
    """Raise a `VesselSegError` if a session that was just written could not be taken over again for its description."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(SESSION_SUFFIX):
                    _parsed(archive.read(name))
    except (VesselSegError, zipfile.BadZipFile) as error:
        raise VesselSegError(
            "the session was written, but could not be opened again", "save the segmentation by itself"
        ) from error


def take_over(files: Mapping[str, Path], folder: Path) -> Path:
    """Write the scene description of an unpacked session anew.

    Parameters
    ----------
    files : mapping of str to pathlib.Path
        As `archives.unpack` returns them.
    folder : pathlib.Path
        Where the files lie; the description is put there.

    Returns
    -------
    pathlib.Path
        What a scene can import.

    Raises
    ------
    VesselSegError
        If this is no session that can be taken over whole: then nothing of it is.
    """
    descriptions = [name for name in files if name.lower().endswith(SESSION_SUFFIX)]
    if len(descriptions) != 1:
        raise VesselSegError("this archive holds several scenes", "send one session")
    root = PurePosixPath(descriptions[0]).parent
    with open(files[descriptions[0]], "rb") as description:
        scene = _parsed(description.read(_LONGEST_DESCRIPTION + 1))
    known = ElementTree.Element("MRML", {key: scene.get(key, "") for key in ("version", "userTags")})
    voxels, stored = 0, set()
    for node in (ElementTree.Element(each.tag, each.attrib) for each in scene):  # what is nested in them is not known
        if node.tag not in SESSION_TAGS:
            continue
        if "transform:" in node.get("references", "") or node.get("transformNodeRef"):
            raise VesselSegError(
                f"'{node.get('name', 'a node')}' lies under a transform",
                "harden the transform in 3D Slicer and save again",
            )
        if node.tag in (_VOLUME_STORAGE, _SEGMENTATION_STORAGE):
            path = _name_data(node, files, root, folder)
            if path is None:
                continue
            voxels += check_unpacked_size(path)
            if voxels > _MOST_SCANS * MAX_VOXELS:
                raise VesselSegError("this session holds too many voxels", "use 3D Slicer")
            _check_readable(path)
            stored.add(node.get("id", ""))
        known.append(node)
    for node in [each for each in known if each.tag in _DATA_TAGS and not stored & _storages_of(each)]:
        known.remove(node)  # it has no voxels
    tags = {node.get("id", ""): node.tag for node in known}
    if len(tags) < len(known):
        raise _damaged()
    for node in known:
        if node.tag in _DATA_TAGS:
            _keep_displays(node, tags)
    if not any(node.tag == "Volume" for node in known):
        raise VesselSegError("there is no scan in this session", "save it again, with its scan")
    path = folder / f"session{SESSION_SUFFIX}"
    ElementTree.ElementTree(known).write(path, encoding="UTF-8", xml_declaration=True)
    return path


def _parsed(text: bytes) -> ElementTree.Element:
    if len(text) > _LONGEST_DESCRIPTION:
        raise VesselSegError("the scene of this session is too large", "use 3D Slicer")
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # scenes have none: these make small files large
        raise _damaged()
    try:
        scene = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise _damaged() from error
    if scene.tag != "MRML":
        raise _damaged()
    if len(scene) > _MOST_NODES:
        raise VesselSegError("the scene of this session holds too much", "use 3D Slicer")
    return scene


def _damaged() -> VesselSegError:
    return VesselSegError("the scene of this session is damaged", "save it again")


def _keep_displays(node: ElementTree.Element, tags: Mapping[str, str]) -> None:
    """Take display nodes away that are of another kind, or not in the session: one of the page could have that ID.

    Nothing would fail before the work on the page had made room for the session.
    """

    def fitting(names: str) -> str:
        return " ".join(name for name in names.split() if tags.get(name) == _DATA_TAGS[node.tag])

    parts = []
    for part in node.get("references", "").split(";"):
        role, colon, names = part.partition(":")
        parts.append(role + colon + (fitting(names) if role == "display" else names))
    node.set("references", ";".join(part for part in parts if not part.endswith(":")))
    former = fitting(node.attrib.pop("displayNodeRef", ""))  # as older scenes have it
    if former:
        node.set("displayNodeRef", former)


def _storages_of(node: ElementTree.Element) -> set[str]:
    """Return the IDs of the storage nodes of a node."""
    references = (part.partition(":") for part in node.get("references", "").split(";"))
    named = [name for role, _colon, names in references if role == "storage" for name in names.split()]
    return {*named, *node.get("storageNodeRef", "").split()}


def _name_data(node: ElementTree.Element, files: Mapping[str, Path], root: PurePosixPath, folder: Path) -> Path | None:
    """Give a storage node the name that its file has here, and return the file; None if it has none."""
    stored = unquote(node.get("fileName", ""))
    for attribute in [name for name in node.attrib if _FILE_ATTRIBUTES.fullmatch(name)]:
        del node.attrib[attribute]
    if not stored:
        return None
    source = files.get(str(root / stored.replace("\\", "/")))
    if source is None:
        raise VesselSegError("a file of this session is not in it", "save the session again, as one .mrb file")
    if not source.exists():
        raise VesselSegError("two parts of this session are in one file", "save it again")
    suffix = image_suffix_of(source)
    if node.tag == _SEGMENTATION_STORAGE and suffix == ".nrrd":
        suffix = ".seg.nrrd"
    path = source.rename(source.with_suffix(suffix))
    node.set("fileName", str(path.relative_to(folder)))
    return path


def _check_readable(path: Path) -> None:
    try:
        with quiet_itk():
            image_reader(path).Execute()
    except RuntimeError as error:
        raise VesselSegError("a file of this session is damaged", "save or copy it again") from error

"""Which file of one folder belongs to which of another: by the name of the subject."""

from __future__ import annotations

import logging
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from vesselseg.errors import VesselSegError, error_of_cases

logger = logging.getLogger("vesselseg")

#: Endings of the files that are looked at.
_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
#: Last words of names that say what an image is.
_LABEL_WORDS = frozenset(
    ("seg", "segmentation", "dseg", "label", "labels", "vessels", "reference", "truth", "manual", "pred", "prediction")
)
_MASK_WORDS = frozenset(("mask", "brain", "brainmask"))
_SCAN_WORDS = frozenset(("tof", "mra", "angio", "scan", "image"))
_OTHER_WORDS = frozenset(("radius", "artery", "prob", "probability", "error", "errormap"))
#: By the kind of an image: what its last word may be, and one of them.
_KINDS = {
    "segmentation": (_LABEL_WORDS, "seg"),
    "reference": (_LABEL_WORDS, "label"),
    "mask": (_MASK_WORDS, "mask"),
    "scan": (_SCAN_WORDS, "tof"),
}


@dataclass(frozen=True)
class MatchedCase:
    """Files of one subject.

    Parameters
    ----------
    subject : str
    segmentation, reference : pathlib.Path
    mask, scan : pathlib.Path or None
    """

    subject: str
    segmentation: Path
    reference: Path
    mask: Path | None = None
    scan: Path | None = None


def is_folder_of_cases(path: str | Path) -> bool:
    """Tell whether a path is a folder with image files, itself or in its subfolders, and no DICOM series."""
    return Path(path).is_dir() and bool(_image_files(Path(path)))


def match_cases(
    segmentations: Path, references: Path, masks: Path | None = None, scans: Path | None = None
) -> tuple[list[MatchedCase], dict[str, VesselSegError]]:
    """Find for every segmentation in a folder the reference of the same subject in another one.

    The subject is the name of a file without its ending and without the words at its end, separated by ``_``, ``-`` or
    ``.``, that tell what an image is (``seg``, ``label``, ``tof``, ...): ``MNI_0656_seg.nii.gz`` belongs to
    ``MNI_0656_label.nii.gz``. A file in subfolders belongs to the subject that these are named after
    (``case_001/label.nii.gz``), unless its own name begins with the first's and says more
    (``sub-01/anat/sub-01_ses-2_label.nii.gz``: ``sub-01_ses-2``). Files whose last word says that they are something
    else (``tof``, ``probability``, ``mask``, ...) are passed over.

    Parameters
    ----------
    segmentations, references : pathlib.Path
        Folders.
    masks, scans : pathlib.Path, optional
        Folders with masks and with scans, matched likewise.

    Returns
    -------
    cases : list of MatchedCase
        By subject. The log tells where the names of two files in subfolders differ: ``A/first_seg.nii.gz`` and
        ``A/second_label.nii.gz``.
    unmatched : dict of str to VesselSegError
        What the other subjects lack: a segmentation, a reference, a mask or a scan.

    Raises
    ------
    VesselSegError
        If two files are of one subject, or if there is no case.
    """
    given = {"segmentation": segmentations, "reference": references, "mask": masks, "scan": scans}
    folders = {kind: folder for kind, folder in given.items() if folder is not None}
    files = {kind: _by_subject(folder, kind) for kind, folder in folders.items()}
    found, truth = files["segmentation"], files["reference"]
    unmatched: dict[str, VesselSegError] = {}
    for name in sorted(found.keys() | truth.keys()):
        for kind, folder in folders.items():
            if name not in files[kind]:
                unmatched.setdefault(name, _missing(kind, folder))
    cases = [
        MatchedCase(name, **{kind: of_kind[name] for kind, of_kind in files.items()})
        for name in sorted((found.keys() & truth.keys()) - unmatched.keys())
    ]
    if not cases:
        raise error_of_cases(unmatched, len(unmatched), "compared")
    for case in cases:
        for other in filter(None, (case.reference, case.mask, case.scan)):
            ours, theirs = (_subject_and_word(_stem(path))[0] for path in (case.segmentation, other))
            if ours and theirs and ours != theirs:
                logger.warning("%s: %s is compared with %s", case.subject, case.segmentation.name, other.name)
    return cases, unmatched


def _missing(kind: str, folder: Path) -> VesselSegError:
    word = "label" if kind == "segmentation" else _KINDS[kind][1]
    return VesselSegError(
        f"there is no {kind} for it in {folder}",
        f"names must agree up to their last word, as in A_seg.nii.gz and A_{word}.nii.gz",
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} others" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _by_subject(folder: Path, kind: str) -> dict[str, Path]:
    words, example = _KINDS[kind]
    result: dict[str, Path] = {}
    passed_over = set()
    for path in _image_files(folder):
        subject, word = _subject_and_word(_stem(path))
        if word and word not in words:
            passed_over.add(word)
            continue
        if path.parent != folder:
            place = _composed(path.parent.relative_to(folder).as_posix())
            if not subject.startswith(place.split("/")[0]):
                subject = place
        if not subject:
            raise VesselSegError(f"{path} does not tell its subject", "name it like A_label.nii.gz or A/label.nii.gz")
        if subject in result:
            raise VesselSegError(
                f"{result[subject]} and {path} are both of {subject}", "leave one file a subject in the folder"
            )
        result[subject] = path
    if not result and passed_over:
        raise VesselSegError(
            f"in {folder} there are only files whose names end in {_listed(sorted(passed_over))}, as those of other "
            "images do",
            f"let the last word say what they are, as in A_{example}.nii.gz",
        )
    if not result:
        raise VesselSegError(f"{folder} has no image that can be taken for one", f"wanted are {', '.join(_SUFFIXES)}")
    return result


def subject_of(path: Path) -> str:
    """Return the subject that a file belongs to by its name, or by its folder's where its own only tells what it is.

    Parameters
    ----------
    path : pathlib.Path
        Of an image, or of a DICOM folder.

    Returns
    -------
    str
    """
    return _subject_and_word(_stem(path))[0] or _composed(path.absolute().parent.name)


def _image_files(folder: Path) -> list[Path]:
    named = (path for path in folder.rglob("*") if path.name.lower().endswith(_SUFFIXES))
    visible = (path for path in named if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(path for path in visible if path.is_file())


def _stem(path: Path) -> str:
    name = _composed(path.name)
    return next((name[: -len(end)] for end in _SUFFIXES if name.lower().endswith(end)), name)


def _composed(name: str) -> str:
    """Write accents in one way: files that come from a Mac may have them as characters of their own."""
    return unicodedata.normalize("NFC", name)


def _subject_and_word(stem: str) -> tuple[str, str]:
    """Return a name without the words that tell what an image is, and the last of them ("" where there is none)."""
    parts = re.split(r"([_.-])", stem)
    last = ""
    while parts and parts[-1].lower() in _LABEL_WORDS | _MASK_WORDS | _SCAN_WORDS | _OTHER_WORDS:
        last = last or parts[-1].lower()
        parts = parts[:-2]
    return "".join(parts), last

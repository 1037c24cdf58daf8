"""Files that a reader takes along: signed labels, DICOM SEG, surfaces, figures, reports."""

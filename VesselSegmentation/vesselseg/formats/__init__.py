"""Files of single formats: NIfTI, DICOM, MetaImage; `vesselseg.image_io` chooses among them."""

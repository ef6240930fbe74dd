"""From a DICOM series to results in an archive."""

"""Talking to archives: folders, DICOMweb servers and DICOM nodes. It knows nothing of models."""

"""A MONAI Deploy application around a bundle: a DICOM series in, the mask of ``MonaiBundleInferenceOperator`` out.

It runs in an environment of its own, which has the SDK and nothing of this project::

    python deploy_sdk_app.py BUNDLE/models/model.ts SERIES MASK.npz

``MASK.npz`` holds ``mask`` (W, H, D) and ``affine``, voxel indices to mm in RAS. A directory with a bundle is taken in
place of the TorchScript file, too.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application, Fragment, Operator, OperatorSpec
from monai.deploy.core.domain import Image
from monai.deploy.core.io_type import IOType
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
from monai.deploy.operators.dicom_series_to_volume_operator import DICOMSeriesToVolumeOperator
from monai.deploy.operators.monai_bundle_inference_operator import IOMapping, MonaiBundleInferenceOperator


class MaskFileOperator(Operator):
    """Writes the mask that it is given, with the geometry of the image."""

    def __init__(self, fragment: Fragment, *args: object, file: Path, **kwargs: object) -> None:
        self.file = file
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input("mask")
        spec.input("image")

    def compute(self, op_input: object, op_output: object, context: object) -> None:
        mask, image = op_input.receive("mask"), op_input.receive("image")
        if not isinstance(mask, Image):
            raise TypeError(f"the operator gave a {type(mask).__name__} in place of an image")
        # The SDK keeps (D, H, W); the affine is that of (W, H, D).
        array = np.swapaxes(mask.asnumpy(), 0, 2)
        np.savez(self.file, mask=array, affine=image.metadata()["nifti_affine_transform"])


class BundleApplication(Application):
    """Loader, selector, volume, bundle and the file."""

    def __init__(self, model: Path, series: Path, file: Path) -> None:
        self.model, self.series, self.file = model, series, file
        super().__init__([sys.executable])

    def compose(self) -> None:
        context = AppContext({"model": str(self.model)} if self.model.is_file() else {})
        loader = DICOMDataLoaderOperator(self, CountCondition(self, 1), input_folder=self.series, name="loader")
        selector = DICOMSeriesSelectorOperator(self, name="selector")
        volume = DICOMSeriesToVolumeOperator(self, name="volume")
        bundle = MonaiBundleInferenceOperator(
            self,
            app_context=context,
            input_mapping=[IOMapping("image", Image, IOType.IN_MEMORY)],
            output_mapping=[IOMapping("pred", Image, IOType.IN_MEMORY)],
            bundle_path=self.model,
            name="bundle",
        )
        sink = MaskFileOperator(self, file=self.file, name="sink")
        self.add_flow(loader, selector, {("dicom_study_list", "dicom_study_list")})
        self.add_flow(selector, volume, {("study_selected_series_list", "study_selected_series_list")})
        self.add_flow(volume, bundle, {("image", "image")})
        self.add_flow(bundle, sink, {("pred", "mask")})
        self.add_flow(volume, sink, {("image", "image")})


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    BundleApplication(*(Path(word).resolve() for word in sys.argv[1:4])).run()

"""The form that 3D Slicer's extension MONAIAuto3DSeg loads: ``model.pt`` with its configuration, and ``labels.csv``.

Its script builds the network by name from the configuration, and preprocesses in its own way. The network is ours to
the last weight; the preprocessing is not, and the folder's README says where it differs.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipelines.console import NOT_FOR_DIAGNOSIS
from pipelines.export.plain_network import network_expression, plain_logits
from pipelines.export.weight_forms import largest_difference
from pipelines.prediction.class_predictor import SOFTMAX, ClassPredictor, head_of
from transforms.io.atomic import atomic_path, write_text_atomic
from transforms.io.input_error import InputError
from transforms.io.segment_codes import Code, SegmentCode, codes_of_metadata

FORM = "slicer-auto3dseg"
LARGEST_DIFFERENCE = 1e-5
UNDERSTOOD = (
    *("LoadImaged", "EnsureTyped", "Orientationd", "Spacingd", "NormalizeIntensityd"),
    *("Lambdad", "GaussianSmoothd"),  # what runs smooth with before the grid gets coarser: left out, and told
)
SEQUENCES = (
    "SegmentedPropertyCategoryCodeSequence",
    "SegmentedPropertyTypeCodeSequence",
    "SegmentedPropertyTypeModifierCodeSequence",
    "AnatomicRegionSequence",
    "AnatomicRegionModifierSequence",
)
_PARTS = ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")


def check_slicer_form(config: Mapping[str, Any]) -> None:
    """Refuse a run whose network or preprocessing the extension has no words for.

    Raises:
        InputError: with the first reason.
    """
    place = f"--to {FORM}"
    for name, wanted, what in (("spatial_dims", 3, "volumes"), ("in_channels", 1, "images of one channel")):
        if config[name] != wanted:
            raise InputError(place, f"is for {what}; the run has {name} {config[name]}")
    head = head_of(config)
    if head not in ("mask", SOFTMAX):
        raise InputError(place, f"is for the mask head's probabilities; the run has head {head}")
    for step in config["preprocessing"]["transforms"]:
        if step["_target_"] not in UNDERSTOOD:
            raise InputError(place, f"has no preprocessing like the run's {step['_target_']}")
    if config["preprocessing"]["transforms"][-1]["_target_"] != "NormalizeIntensityd":
        raise InputError(place, "normalises intensities last; the run does not")


def write_slicer_form(
    folder: Path, predictor: ClassPredictor, config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> float:
    """Write the extension's model folder and compare the network in it, loaded as the extension does it, with ours.

    Args:
        folder: the folder, made where it is not there.
        predictor: the trained network.
        config: the run's configuration.
        metadata: content of the bundle's ``metadata.json``.

    Returns:
        The worst difference of a probability.

    Raises:
        InputError: when the extension cannot serve the run.
        RuntimeError: when the network in the folder computes something else.
    """
    check_slicer_form(config)
    try:
        plain = plain_logits(predictor)
    except ValueError as fault:
        raise InputError(f"--to {FORM}", f"cannot serve the run: {fault}") from fault
    content = {
        "config": {
            "network": f"${network_expression(plain)}",
            "roi_size": [-(-side // 16) * 16 for side in config["patch_size"]],
            "normalize_mode": "meanstd",
            "intensity_bounds": [0.0, 1.0],
            "resample_resolution": [float(step) for step in config["spacing_mm"]],
            "orientation_ras": True,
            "crop_foreground": False,
            "sigmoid": False,
            "bundle_root": str(metadata["name"]),
            "class_names": list(metadata["network_data_format"]["outputs"]["pred"]["channel_def"].values()),
        },
        "state_dict": plain.state_dict(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "model.pt") as temporary:
        torch.save(content, temporary)
    _write_labels(folder / "labels.csv", codes_of_metadata(metadata))
    difference = largest_difference(predictor, _Loaded(folder / "model.pt"), _images(content["config"]["roi_size"]))
    if difference > LARGEST_DIFFERENCE:
        raise RuntimeError(f"the network for 3D Slicer differs from the trained one by {difference:.3g}")
    write_text_atomic(folder / "README.md", _told(metadata, config, difference))
    return difference


class _Loaded(nn.Module):
    """The network as the extension makes it out of its file, and softmax over what it gives."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        from monai.bundle import ConfigParser

        content = torch.load(file, map_location="cpu", weights_only=True)
        self.network = ConfigParser(content["config"]["network"]).get_parsed_content()
        self.network.load_state_dict(content["state_dict"], strict=True)
        self.network.eval()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.network(image), dim=1)


def _images(window: Sequence[int]) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    sides = [min(side, 48) for side in window]
    return [torch.randn(2, 1, *sides, generator=random), torch.randn(1, 1, 16, 48, 32, generator=random)]


def _write_labels(path: Path, codes: Sequence[SegmentCode]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["LabelValue", "Name", *(f"{sequence}.{part}" for sequence in SEQUENCES for part in _PARTS)])
        for code in codes:
            terms = [code.category, code.type, code.modifiers[0] if code.modifiers else None, None, None]
            table.writerow([code.label, code.name, *(text for term in terms for text in _texts(term))])


def _texts(code: Code | None) -> tuple[str, str, str]:
    return ("", "", "") if code is None else (code.scheme, code.value, code.meaning)


def _told(metadata: Mapping[str, Any], config: Mapping[str, Any], difference: float) -> str:
    return f"""# {metadata["name"]} for 3D Slicer's MONAIAuto3DSeg

**{NOT_FOR_DIAGNOSIS}** {metadata["task"]}.

Put this folder into `.MONAIAuto3DSeg/models/` of your home folder, as `NAME-vX.Y.Z`, and add an entry of that name to
the extension's `Models.json`, which lists what it offers. `labels.csv` names the segments and their codes.

The network in `model.pt`, built and loaded as the extension's script does it, gives the trained network's probabilities
within {difference:.2g}. It has not been run inside 3D Slicer. The script's preprocessing is its own, so masks are near
those of the bundle, not the same:

- images within 25 % of {config["spacing_mm"]} mm are not resampled, others are, and none is smoothed before that;
- intensities are normalised over the voxels that are not 0, where the bundle takes all;
- windows overlap by 0.625, where the bundle's overlap by {config["overlap"]};
- later versions of the script do not turn the image to RAS: the axes are then those of the file;
- of each class all pieces are kept, where the bundle may keep the largest alone.

Where the mask must be the measured one, use the bundle.
"""

"""The inference configuration of an exported bundle, which names nothing but MONAI and torch."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

from pipelines.export.pictures import MASK_SUFFIX, ROWS_FIRST, picture_paths
from pipelines.prediction.class_predictor import SLICES, head_of

ALWAYS_SHOWN = ("in_channels", "num_classes", "patch_size", "overlap", "head")
# Of networks that look at slices and their neighbours, which have no windows.
SHOWN_OF_SLICES = ("in_channels", "num_classes", "head", "spatial_dims", "neighbours", "slice_axis", "slices_at_once")
REFERENCE = re.compile(r"@(\w+)")


def inference_config(
    config: Mapping[str, Any], network: str | None = None, *, pictures: bool = False
) -> dict[str, Any]:
    """Give ``configs/inference.json`` for a run's configuration.

    Preprocessing, inferer and postprocessing are the run's own; the network that runs is the exported TorchScript file.
    What the user sets: ``dataset_dir`` (a folder of images, or ``datalist``), ``output_dir``, ``bundle_root``,
    ``device``.

    Args:
        config: the run's configuration.
        network: the expression that builds what ``models/model.pt`` fits, for tools that take ``network_def`` and the
            weights apart; without it ``network_def`` is the TorchScript file too.
        pictures: for PNG, JPEG and TIFF; the masks are PNG then.
    """
    scripted = "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device)"
    spacing = config.get("spacing_mm")
    preprocessing = _for_images(config, spacing)
    preprocessing["transforms"][:1] = _loading(preprocessing["transforms"][0], pictures)
    images = picture_paths("@dataset_dir") if pictures else "sorted(glob.glob(os.path.join(@dataset_dir, '*.nii*')))"
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "image_key": "image",
        "dataset_dir": "/workspace/data/images",
        "output_dir": "$@bundle_root + '/eval'",
        "output_ext": MASK_SUFFIX if pictures else ".nii.gz",
        "output_postfix": "seg",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        **_referred(config, preprocessing),
        **({} if spacing is None else {"spacing_mm": spacing}),
        "datalist": f"$[{{'image': path}} for path in {images}]",
        "network_def": scripted if network is None else f"${network}",
        "network": "$@network_def.to(@device)" if network is None else scripted,
        "preprocessing": preprocessing,
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": copy.deepcopy(config["inferer"]),
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                *copy.deepcopy(config["postprocessing"]["transforms"]),
                {
                    "_target_": "SaveImaged",
                    "keys": "pred",
                    "output_dir": "@output_dir",
                    "output_ext": "@output_ext",
                    "output_postfix": "@output_postfix",
                    "output_dtype": "$numpy.uint8",
                    "resample": False,
                    "separate_folder": False,
                },
            ],
        },
        "handlers": [{"_target_": "StatsHandler", "iteration_log": False}],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "initialize": ["$monai.utils.set_determinism(seed=0)"],
        "run": ["$@evaluator.run()"],
    }


def _referred(config: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """Give the plain values that preprocessing, inferer and postprocessing refer to, whatever a bundle calls them."""
    text = json.dumps([preprocessing, config["inferer"], config["postprocessing"]])
    told = {**config, "head": head_of(config)}
    names = [*(SHOWN_OF_SLICES if told["head"] == SLICES else ALWAYS_SHOWN), *REFERENCE.findall(text)]
    return {name: told[name] for name in dict.fromkeys(names) if name not in ("preprocessing", "spacing_mm")}


def _loading(load: Mapping[str, Any], pictures: bool) -> list[dict[str, Any]]:
    """Give the first step in parts: MONAI's Deploy SDK leaves ``LoadImaged`` out and has only what follows, and MONAI
    Label puts a text under ``image_path``, which MONAI's ``Spacingd`` takes for metadata.
    """
    reading = {name: value for name, value in load.items() if name != "ensure_channel_first"}
    return [
        reading,
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "DeleteItemsd", "keys": "image_path"},
        *([copy.deepcopy(ROWS_FIRST)] if pictures else []),
    ]


def _for_images(config: Mapping[str, Any], spacing: Any) -> dict[str, Any]:
    """Give the preprocessing for the image alone, with stock readers."""
    result = copy.deepcopy(dict(config["preprocessing"]))
    volumes = config.get("spatial_dims") == 3
    if head_of(config) == SLICES:
        result["transforms"] = _in_plain_words(result["transforms"], config)
    for transform in result["transforms"]:
        transform["keys"] = "image"
        transform.pop("reader", None)
        transform.pop("allow_missing_keys", None)
        if transform["_target_"] == "Orientationd" and spacing is not None:
            transform["axcodes"] = "RAS"[: len(spacing)]
        if transform["_target_"] in ("Spacingd", "Resized"):
            # What resamples by coordinates says bilinear of volumes too.
            transform["mode"] = "trilinear" if volumes and transform["_target_"] == "Resized" else "bilinear"
        if "anti_aliasing" in transform:
            transform["anti_aliasing"] = True  # of the image; a label's is false
        if transform["_target_"] == "Spacingd":
            transform["pixdim"] = spacing
    return result


def _in_plain_words(transforms: list[dict[str, Any]], config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Say in plain words what axes and sides are brought to, which a configuration for volumes and single slices works
    out; leave a step out where they stay as they are.
    """
    size, codes = config.get("slice_size"), config.get("axcodes")
    sides = None if size is None else list(size)
    if sides is not None and config["spatial_dims"] == 3:
        sides.insert(int(config["slice_axis"]) % 3, -1)
    told = {"Resized": ("spatial_size", sides), "Orientationd": ("axcodes", codes)}
    plain = []
    for transform in transforms:
        name, value = told.get(transform["_target_"], ("", None))
        if name and value is None:
            continue
        step = {key: given for key, given in transform.items() if not (name and key == "_disabled_")}
        plain.append({**step, name: value} if name else step)
    return plain

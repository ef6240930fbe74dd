"""The evaluation configuration of an exported bundle, which names nothing but MONAI and torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.export.inference_config import inference_config
from pipelines.export.pictures import picture_paths

NSD_TOLERANCE_MM = 2.0
# Of both masks, the voxel size of the label: MONAI's own handlers for distances know voxels only. A distance to or from
# an empty mask is none, and MONAI takes means over what is a number.
_SPACING = "spacing=[float(step) for step in label.pixdim][:label.dim() - 2]"
_HD95 = (
    "$lambda pred, label: torch.nan_to_num(monai.metrics.compute_hausdorff_distance(pred, label, percentile=95, "
    f"{_SPACING}), nan=torch.nan, posinf=torch.nan)"
)
_NSD = (
    "$lambda pred, label: monai.metrics.compute_surface_dice(pred, label, "
    f"class_thresholds=[@tolerance_mm] * (pred.shape[1] - 1), {_SPACING})"
)
_DATALIST = (  # IMAGES stands for the expression of their paths
    "$[case for case in monai.data.load_decathlon_datalist(os.path.join(@dataset_dir, 'dataset.json'), "
    "data_list_key=@split) if 'label' in case] if os.path.isfile(os.path.join(@dataset_dir, 'dataset.json')) else "
    "[{'image': path, 'label': os.path.join(@dataset_dir, 'labels', os.path.basename(path))} "
    "for path in IMAGES]"
)
_PAIR = "$monai.handlers.from_engine(['pred', 'label'])"


def evaluation_config(
    config: Mapping[str, Any], network: str | None = None, *, pictures: bool = False
) -> dict[str, Any]:
    """Give ``configs/evaluate.json`` for a run's configuration: Dice, 95 % Hausdorff distance (mm) and surface Dice.

    A case is segmented as ``inference.json`` does it, on the grid of its image, and compared with the label file as it
    lies there. What the user sets: ``dataset_dir`` (a folder with a Decathlon ``dataset.json``, of which ``split`` is
    taken, or with ``images`` and ``labels`` of the same names; or ``datalist``), ``output_dir`` (CSV files, per case
    and class), ``bundle_root``, ``device``.

    Args:
        config: the run's configuration.
        network: as for :func:`pipelines.export.inference_config.inference_config`.
        pictures: as there.
    """
    result = inference_config(config, network, pictures=pictures)
    for name in ("output_ext", "output_postfix"):
        del result[name]
    classes = int(config["num_classes"]) + 1
    folder = "os.path.join(@dataset_dir, 'images')"
    volumes = "sorted(glob.glob(os.path.join(@dataset_dir, 'images', '*.nii*')))"
    result |= {
        "label_key": "label",
        "dataset_dir": "/workspace/data",
        "split": "test",
        "output_dir": "$@bundle_root + '/eval'",
        "tolerance_mm": NSD_TOLERANCE_MM,
        "datalist": _DATALIST.replace("IMAGES", picture_paths(folder) if pictures else volumes),
    }
    # The label stays as it is stored: the prediction is brought back to its grid.
    load, channels, *others = result["preprocessing"]["transforms"]
    both = ["image", "label"]
    steps = [{**load, "keys": both}, {**channels, "keys": both}, {"_target_": "EnsureTyped", "keys": "label"}, *others]
    result["preprocessing"]["transforms"] = steps
    after = [step for step in result["postprocessing"]["transforms"] if step["_target_"] != "SaveImaged"]
    one_hot = {"_target_": "AsDiscreted", "keys": ["pred", "label"], "to_onehot": classes}
    result["postprocessing"]["transforms"] = [*after, one_hot]
    result["handlers"] = [
        {"_target_": "StatsHandler", "iteration_log": False},
        {
            "_target_": "MetricsSaver",
            "save_dir": "@output_dir",
            "metrics": "*",
            "metric_details": "*",
            "batch_transform": "$lambda batch: [case['image'].meta for case in batch]",
            "summary_ops": "*",
            "delimiter": ",",
        },
    ]
    result["key_metric"] = {
        "val_mean_dice": {"_target_": "MeanDice", "include_background": False, "output_transform": _PAIR}
    }
    result["additional_metrics"] = {
        "val_hd95_mm": {"_target_": "IgniteMetricHandler", "loss_fn": _HD95, "output_transform": _PAIR},
        "val_surface_dice": {"_target_": "IgniteMetricHandler", "loss_fn": _NSD, "output_transform": _PAIR},
    }
    result["evaluator"] |= {"key_val_metric": "@key_metric", "additional_metrics": "@additional_metrics"}
    order = [name for name in result if name not in ("evaluator", "initialize", "run")]
    return {name: result[name] for name in (*order, "evaluator", "initialize", "run")}

"""A small bundle in the model zoo's style, with a stock network that has learnt nothing, which passes every check."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

NAME = "heart_mr_segmentation"

METADATA: dict[str, Any] = {
    "schema": "https://example.org/meta_schema_20240725.json",
    "version": "0.1.0",
    "changelog": {"0.1.0": "first"},
    "monai_version": "1.6.1",
    "pytorch_version": "2.13.0",
    "numpy_version": "2.4.6",
    "required_packages_version": {"nibabel": "5.4.2", "pytorch-ignite": "0.5.5", "scikit-image": "0.26.0"},
    "name": "Heart",
    "task": "Segmentation",
    "description": "Nothing",
    "authors": "Somebody",
    "copyright": "Somebody",
    "network_data_format": {
        "inputs": {
            "image": {
                "type": "image",
                "format": "magnitude",
                "num_channels": 1,
                "spatial_shape": ["4*n", "4*n", "4*n"],
                "dtype": "float32",
                "value_range": [],
            }
        },
        "outputs": {
            "pred": {
                "type": "image",
                "format": "segmentation",
                "num_channels": 2,
                "spatial_shape": ["4*n", "4*n", "4*n"],
                "dtype": "float32",
                "value_range": [],
                "channel_def": {"0": "background", "1": "heart"},
            }
        },
    },
}

INFERENCE: dict[str, Any] = {
    "imports": ["$import glob", "$import os"],
    "bundle_root": ".",
    "dataset_dir": "/workspace/data",
    "output_dir": "$@bundle_root + '/eval'",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "datalist": "$[{'image': name} for name in sorted(glob.glob(os.path.join(@dataset_dir, '*.nii.gz')))]",
    "network_def": {
        "_target_": "UNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "channels": [2, 4, 8],
        "strides": [2, 2],
    },
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "DeleteItemsd", "keys": "image_path"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Spacingd", "keys": "image", "pixdim": [2.0, 2.0, 2.0]},
        ],
    },
    "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
    "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 32]},
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"},
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "KeepLargestConnectedComponentd", "keys": "pred"},
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
        ],
    },
    "handlers": [
        {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        }
    ],
    "evaluator": {
        "_target_": "SupervisedEvaluator",
        "device": "@device",
        "val_data_loader": "@dataloader",
        "network": "@network",
        "inferer": "@inferer",
        "postprocessing": "@postprocessing",
        "val_handlers": "@handlers",
    },
    "run": ["$@evaluator.run()"],
}

TRAIN: dict[str, Any] = {
    "bundle_root": ".",
    "device": "$torch.device('cpu')",
    "dataset_dir": "/workspace/data",
    "val_interval": 1,
    "train": {
        "dataset": {"_target_": "Dataset", "data": [], "transform": "@train::preprocessing"},
        "preprocessing": {"_target_": "Compose", "transforms": []},
        "inferer": {"_target_": "SimpleInferer"},
        "handlers": [
            {"_target_": "ValidationHandler", "validator": "@validate::evaluator", "interval": "@val_interval"}
        ],
        "trainer": {"_target_": "SupervisedTrainer", "max_epochs": 2, "train_handlers": "@train::handlers"},
    },
    "validate": {
        "dataset": {"_target_": "Dataset", "data": []},
        "handlers": [],
        "evaluator": {"_target_": "SupervisedEvaluator", "val_handlers": "@validate::handlers"},
    },
    "run": ["$@train::trainer.run()"],
}


def write_bundle(folder: Path) -> Path:
    """Write the bundle as ``folder/heart_mr_segmentation``."""
    import torch
    from monai.bundle import ConfigParser
    from monai.data import save_net_with_metadata

    bundle = folder / NAME
    for name in ("configs", "models", "docs"):
        (bundle / name).mkdir(parents=True)
    (bundle / "LICENSE").write_text("Apache License 2.0\n")
    write_config(bundle, "metadata", METADATA)
    write_config(bundle, "inference", INFERENCE)
    torch.manual_seed(0)
    network = ConfigParser(INFERENCE).get_parsed_content("network_def").eval()
    torch.save(network.state_dict(), bundle / "models" / "model.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_net_with_metadata(
            torch.jit.script(network),
            str(bundle / "models" / "model.ts"),
            include_config_vals=False,
            append_timestamp=False,
            meta_values=METADATA,
            more_extra_files={"inference.json": json.dumps(INFERENCE).encode()},
        )
    write_hashes(bundle)
    return bundle


def write_config(bundle: Path, name: str, content: Any) -> None:
    """Write ``configs/NAME.json``."""
    (bundle / "configs" / f"{name}.json").write_text(json.dumps(content, indent=2))


def write_hashes(bundle: Path) -> None:
    """Write the card and the proof, which tell the hash of each weight file."""
    files = sorted((bundle / "models").iterdir())
    hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    rows = "\n".join(f"| `models/{name}` | `{value}` |" for name, value in hashes.items())
    (bundle / "docs" / "README.md").write_text(f"# Heart\n\n| file | SHA-256 |\n|---|---|\n{rows}\n")
    (bundle / "docs" / "proof.json").write_text(json.dumps({"sha256": hashes}))

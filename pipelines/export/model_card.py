"""The model card: what a bundle is for, what it was trained on, how well it did and how to run it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.console import NOT_FOR_DIAGNOSIS

CARD_METRICS = (("dice", "Dice"), ("jaccard", "Jaccard"), ("asd_mm", "ASD, mm"), ("hd95_mm", "HD95, mm"))


def model_card(
    config: Mapping[str, Any],
    record: Mapping[str, Any],
    metadata: Mapping[str, Any],
    summary: Mapping[str, Any] | None,
    hashes: Mapping[str, str],
    difference: float,
) -> str:
    """Write ``docs/README.md`` of a bundle, as Markdown.

    Args:
        config: the run's configuration.
        record: content of ``run.json``.
        metadata: content of ``metadata.json``.
        summary: content of ``summary.json``; None when nothing was evaluated.
        hashes: SHA-256 of each weight file, by name.
        difference: largest difference between the trained and the exported network.
    """
    data = record["data"]
    seconds = f"{record.get('wall_seconds', '?')} s{' since the last resume' if record.get('resumed') else ''}"
    weights = "\n".join(f"| `models/{name}` | `{value}` |" for name, value in hashes.items())
    return f"""# {metadata["name"]}

**{NOT_FOR_DIAGNOSIS}** {metadata["task"]}.

## Model

A V-Net with two heads, mask and signed distance map, trained {_method(config)} and
exported as one TorchScript network that gives class probabilities from the `{config["head"]}` head; set the attribute
`head` of the loaded network to `mask`, `level_set` or `mean` for another.

| | |
|---|---|
| input | {metadata["image_classes"]} |
| grid | resampled to {config["spacing_mm"]} mm, windows of {config["patch_size"]} voxels |
| output | {metadata["label_classes"]} |
| trained | {record.get("iterations", "?")} iterations, seed {record["seed"]}, {seconds} on {record["device"]} |
| data | {data.get("name", "?")}, fingerprint `{record["fingerprint"]["data"]}` |
| with | torch {metadata["pytorch_version"]}, MONAI {metadata["monai_version"]} |

## Performance

{_performance(summary)}

## Limits

Measured on the cases named above and on nothing else. Other scanners, protocols, anatomies or fields of view may give
wrong masks without a sign of it. The terms of the training data hold for the weights too.

## How to run

Put NIfTI images into one folder; an environment with `torch`, `monai`, `nibabel`, `pytorch-ignite`, `scipy` and `fire`
is enough:

```
python -m monai.bundle run --config_file configs/inference.json --bundle_root . --dataset_dir IMAGES --output_dir MASKS
```

## Files

| file | SHA-256 |
|---|---|
{weights}

The exported network gives the trained one's probabilities within {difference:.2g} on the same input.
"""


def _method(config: Mapping[str, Any]) -> str:
    """Say how it was trained, by the loss that unlabelled scans had a part in."""
    consistency = config.get("consistency")
    if not consistency:
        return "from labelled scans alone"
    if str(consistency.get("_target_", "")).endswith("TeacherAgrees"):
        return "with a mean teacher (Tarvainen and Valpola, NeurIPS 2017)"
    return "by dual-task consistency (Luo et al., AAAI 2021)"


def _performance(summary: Mapping[str, Any] | None) -> str:
    if summary is None:
        return "Not evaluated: the data set had no labelled case that had no part in the training."
    lines = [
        f"{summary['n_cases']} {summary['split']} cases; mean ± standard deviation [95 % bootstrap interval].",
        "",
        "| class | " + " | ".join(title for _, title in CARD_METRICS) + " |",
        "|---" * (len(CARD_METRICS) + 1) + "|",
    ]
    for name, metrics in summary["aggregate"].items():
        if name == "mean" and len(summary["aggregate"]) == 2:
            continue
        lines.append(f"| {name} | " + " | ".join(_cell(metrics[key]) for key, _ in CARD_METRICS) + " |")
    return "\n".join(lines)


def _cell(statistics: Mapping[str, Any]) -> str:
    if statistics["mean"] is None:
        return "–"
    text = f"{statistics['mean']:.3f}"
    if statistics["sd"] is not None:
        text += f" ± {statistics['sd']:.3f}"
    if statistics["ci95"] is not None:
        text += f" [{statistics['ci95'][0]:.3f}, {statistics['ci95'][1]:.3f}]"
    return text

"""The model card: what a bundle is for, what it was trained on, how well it did and how to run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.console import NOT_FOR_DIAGNOSIS
from pipelines.export.method_words import (
    batch_words,
    capitalised,
    goes_by_slices,
    has_noisy_labels,
    is_multi_task,
    network_words,
    tells_presence,
    training_words,
)
from pipelines.prediction.class_predictor import SOFTMAX, head_of

CARD_METRICS = (
    ("dice", "Dice"),
    ("jaccard", "Jaccard"),
    ("asd_mm", "ASD, mm"),
    ("hd95_mm", "HD95, mm"),
    ("nsd", "surface Dice, 2 mm"),
)
_STEPS = {
    "LoadImaged": "read, channels first",
    "EnsureTyped": "32-bit floating point",
    "Orientationd": "axes turned to right, anterior, superior",
    "GaussianSmoothd": "smoothed (Gauss)",
    "Spacingd": "resampled linearly to the grid below",
    "NormalizeIntensityd": "intensities shifted and scaled to mean 0 and standard deviation 1, over the whole image",
    "ScaleIntensityRanged": "intensities clipped and scaled from a fixed range",
}
_SIDES = dict(L="left", R="right", P="posterior", A="anterior", I="inferior", S="superior")
_HOW_TO = {
    "model.ts": """`models/model.ts` (TorchScript, metadata and configuration inside; do not rename it):

```python
import torch
network = torch.jit.load("models/model.ts").eval()
probabilities = network(image)  # (B, C, ...) float32, preprocessed as above; any batch, any size
```""",
    "model.onnx": """`models/model.onnx` (any batch, any size; `pip install onnxruntime`):

```python
import onnxruntime
session = onnxruntime.InferenceSession("models/model.onnx", providers=["CPUExecutionProvider"])
(probabilities,) = session.run(["pred"], {"image": image})  # (B, C, ...) float32
```""",
    "model.pt2": """`models/model.pt2` (`torch.export`; any batch, any size; its guards know less than it can do):

```python
import torch
network = torch.export.load("models/model.pt2").module(check_guards=False)
probabilities = network(image)
```""",
    "model.pt": """`models/model.pt` (the weights alone, by name; they load with `weights_only=True`), from any folder:

```python
from monai.bundle import load
network = load("NAME", bundle_dir="FOLDER", workflow_type="inference"WHERE).eval()  # sides: multiples of 16
```

Say `workflow_type`: MONAI's default is `train`, whose network is the untrained one that needs Concord.""",
}
# Where network_def is the TorchScript file, it must be told where that is.
_WHERE = ', args_file={"bundle_root": "FOLDER/NAME"}'

_LIMITS = """Measured on the cases named above and on nothing else. Other scanners, protocols, anatomies or fields of
view may give wrong masks without a sign of it. The terms of the training data hold for the weights too."""
_COMMANDS = """Masks for a folder of NIfTI images, and scores (CSV files) for a folder with a Decathlon `dataset.json`,
or with `images` and `labels` of the same names:

```
python -m monai.bundle run --config_file configs/inference.json --bundle_root . --dataset_dir IMAGES --output_dir MASKS
python -m monai.bundle run --config_file configs/evaluate.json --bundle_root . --dataset_dir DATA --output_dir SCORES
```

MONAI's 95 % Hausdorff distance is the larger of two percentiles; that above pools both directions.

Training again needs Concord (`concord-seg`) as well, whose classes these configurations name:

```
python -m monai.bundle run --config_file configs/train.json --bundle_root . --dataset_dir DATA --output_dir RUN
torchrun --standalone --nproc_per_node=2 -m monai.bundle run \\
  --config_file "['configs/train.json','configs/multi_gpu_train.json']" \\
  --bundle_root . --dataset_dir DATA --output_dir RUN
```"""


@dataclass(frozen=True)
class Evidence:
    """What is known of a bundle beside its run's own files.

    Attributes:
        hashes: SHA-256 of each weight file, by name.
        differences: worst difference of a probability from the trained network's, by the form's file name.
        cases: how many cases are in each split of the run (``labeled``, ``unlabeled``, ``validation``, ``test``).
        terms: terms of the training data, as its data set tells them; empty when it does not.
    """

    hashes: Mapping[str, str]
    differences: Mapping[str, float]
    cases: Mapping[str, int] = field(default_factory=dict)
    terms: str = ""


def model_card(
    config: Mapping[str, Any],
    record: Mapping[str, Any],
    metadata: Mapping[str, Any],
    summary: Mapping[str, Any] | None,
    evidence: Evidence,
) -> str:
    """Write ``docs/README.md`` of a bundle, as Markdown, in the order of MONAI's model zoo.

    Args:
        config: the run's configuration.
        record: content of ``run.json``.
        metadata: content of ``metadata.json``.
        summary: content of ``summary.json``; None when nothing was evaluated.
        evidence: hashes, differences, counts and terms.
    """
    sections = {
        "Model overview": _overview(config, metadata),
        "Intended use": f"**{NOT_FOR_DIAGNOSIS}** {metadata['intended_use'].removeprefix(NOT_FOR_DIAGNOSIS).strip()}",
        "Data": _data(config, record, metadata, evidence),
        "Preprocessing": _preprocessing(config),
        "Training configuration": _training(config, record, metadata),
        "Input": _input(metadata),
        "Output": _output(metadata),
        "Performance": _performance(summary),
        "Limits": _LIMITS,
        "How to run": _how_to_run(metadata, evidence),
        "Files": _files(evidence),
        "References": "\n".join(f"- {reference}" for reference in metadata.get("references") or ["none told"]),
        "License": f"The bundle: Apache-2.0, see `LICENSE`. {metadata['copyright']}.",
    }
    told = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"# {metadata['name']}\n\n{told}\n"


def _overview(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    return f"""{metadata["task"]}.

{_network(config)}"""


def _network(config: Mapping[str, Any]) -> str:
    words = capitalised(network_words(config))
    if head_of(config) == SOFTMAX:
        return f"""{words}, trained {training_words(config)} and exported as
one network that gives class probabilities (softmax of its logits)."""
    if goes_by_slices(config):
        return f"""{words}, trained {training_words(config)} and exported as
one network that takes images as they are, slice by slice, and gives class probabilities.{_presence(config)}"""
    others = "another of its `choices`" if is_multi_task(config) else "`mask`, `level_set` or `mean` for another"
    return f"""{words}, trained {training_words(config)} and exported as
one network that gives class probabilities from the `{config["head"]}` head; set the attribute `head` of the loaded
TorchScript network to {others}."""


def _presence(config: Mapping[str, Any]) -> str:
    """Say how to ask for what each slice holds; nothing where the network does not tell."""
    if not tells_presence(config):
        return ""
    shape = "(batch, K, slices)" if config["spatial_dims"] == 3 else "(batch, K)"
    return f"""

The loaded TorchScript network tells too how probable it is that each of the K classes is there:
`network.presence(image)` gives {shape}, and `network.detect(image)` the class probabilities and that, in one pass."""


def _data(config: Mapping[str, Any], record: Mapping[str, Any], metadata: Mapping[str, Any], evidence: Evidence) -> str:
    data = record["data"]
    return f"""| | |
|---|---|
| data set | {data.get("name", "?")}, {", ".join(data.get("modality", [])) or "modality not told"} |
| protocol | {_protocol(evidence.cases, config)} |
| classes | {metadata["label_classes"]} |
| fingerprint | `{record["fingerprint"]["data"]}` |
| terms | {evidence.terms or "not told by the data set"} |"""


def _training(config: Mapping[str, Any], record: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    return f"""| | |
|---|---|
| grid | {_grid(config)} |
| batch | {batch_words(config)} |
| optimiser | {_optimiser(config)} |
| trained | {record.get("iterations", "?")} iterations, seed {record["seed"]}, {_time(record)} |
| with | torch {metadata["pytorch_version"]}, MONAI {metadata["monai_version"]} |"""


def _grid(config: Mapping[str, Any]) -> str:
    if goes_by_slices(config):
        size = config.get("slice_size")
        return "slices as they are" if size is None else f"slices of {size} pixels"
    return f"{config['spacing_mm']} mm, windows of {config['patch_size']} voxels"


def _input(metadata: Mapping[str, Any]) -> str:
    shape = _shape(metadata["network_data_format"]["inputs"]["image"])
    return f"{metadata['image_classes']}: `image`, float32, {shape}."


def _output(metadata: Mapping[str, Any]) -> str:
    shape = _shape(metadata["network_data_format"]["outputs"]["pred"])
    return f"""{metadata["pred_classes"]}: `pred`, float32, {shape}.

The postprocessing gives label maps on the grid of the image ({metadata["label_classes"]})."""


def _how_to_run(metadata: Mapping[str, Any], evidence: Evidence) -> str:
    packages = ", ".join(f"`{name}` {value}" for name, value in metadata["required_packages_version"].items())
    return f"Needs `torch`, `monai`, {packages}.\n\n{_COMMANDS}\n\n{_forms(evidence)}".rstrip()


def _protocol(cases: Mapping[str, int], config: Mapping[str, Any]) -> str:
    if not cases:
        return "not recorded"
    used = "" if config.get("use_unlabeled", True) else " (not used)"
    trained = f"{cases.get('labeled', 0)} cases with labels and {cases.get('unlabeled', 0)} without{used}"
    if has_noisy_labels(config):
        trained = f"{cases.get('labeled', 0)} cases with noisy labels"
    return (
        f"{trained} to train on, "
        f"{cases.get('validation', 0)} to choose the weights, {cases.get('test', 0)} to test; split by patient"
    )


def _preprocessing(config: Mapping[str, Any]) -> str:
    """Say in words what the configuration does to an image; what has no words here is named."""
    lines: list[str] = []
    for step in config["preprocessing"]["transforms"]:
        name = str(step["_target_"])
        steered_by = {"Resized": "slice_size", "Orientationd": "axcodes"}.get(name, "")
        if config.get(steered_by, "") is None:
            continue
        if name == "Lambdad":
            if not config.get("antialias"):
                continue
            words = "smoothed (Gauss) along axes whose grid gets coarser"
        elif name == "NormalizeIntensityd":
            words = _normalising(config, step)
        elif name == "Orientationd" and "axcodes" in config:
            words = "axes turned to " + ", ".join(_SIDES[code] for code in config["axcodes"])
        else:
            words = _STEPS.get(name, f"`{name}`")
        lines.append(f"{len(lines) + 1}. {words}")
    return "\n".join(lines)


def _normalising(config: Mapping[str, Any], step: Mapping[str, Any]) -> str:
    """Say what intensities are shifted and scaled by: what the training images had, or the image's own."""
    mean, deviation = (_number(config, step.get(name)) for name in ("subtrahend", "divisor"))
    if mean is None or deviation is None:
        return _STEPS["NormalizeIntensityd"]
    return f"{mean:g} subtracted from intensities, then divided by {deviation:g}: as the training images had them"


def _number(config: Mapping[str, Any], value: Any) -> float | None:
    found = config.get(value[1:]) if isinstance(value, str) and value.startswith("@") else value
    return float(found) if isinstance(found, int | float) else None


def _optimiser(config: Mapping[str, Any]) -> str:
    name = str(config.get("optimizer", {}).get("_target_", "?")).rpartition(".")[2]
    told = str(config.get("schedule", "")) or config.get("lr_scheduler", {}).get("_target_", "?").rpartition(".")[2]
    # Where an expression decides, the training's own configuration tells.
    schedule = "" if told.startswith("$") else f", {told}"
    return f"{name}, learning rate {config.get('learning_rate', '?')}{schedule}; {config.get('precision', 'float32')}"


def _time(record: Mapping[str, Any]) -> str:
    resumed = " since the last resume" if record.get("resumed") else ""
    return f"{record.get('wall_seconds', '?')} s{resumed} on {record['device']}"


def _shape(tensor: Mapping[str, Any]) -> str:
    sides = ", ".join("any" for _ in tensor["spatial_shape"])
    return f"(batch, {tensor['num_channels']}, {sides})"


def _forms(evidence: Evidence) -> str:
    """Say how each weight file is used on its own."""
    where = "" if "model.pt" in evidence.differences else _WHERE
    return "\n\n".join(text.replace("WHERE", where) for name, text in _HOW_TO.items() if name in evidence.hashes)


def _files(evidence: Evidence) -> str:
    lines = ["| file | SHA-256 | worst difference |", "|---|---|---|"]
    for name, value in evidence.hashes.items():
        found = evidence.differences.get(name)
        lines.append(f"| `models/{name}` | `{value}` | {'–' if found is None else f'{found:.2g}'} |")
    told = (
        "Worst difference: of a probability from the trained network's, on the same noise in several sizes and batches."
    )
    return "\n".join([*lines, "", told])


def _performance(summary: Mapping[str, Any] | None) -> str:
    if summary is None:
        return "Not evaluated: the data set had no labelled case that had no part in the training."
    lines = [
        f"{summary['n_cases']} {summary['split']} cases; mean ± standard deviation [95 % bootstrap interval], and n "
        "where some case has no such number.",
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
    if statistics.get("undefined"):
        text += f", n = {statistics['n']}"
    return text

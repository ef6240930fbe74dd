"""The weight files of a bundle: what they hold, that the card tells of these and no others, what the network gives.

The order is that of trust. :func:`hash_faults` and :func:`archive_faults` read bytes; :func:`weight_faults` loads
tensors and the TorchScript file; :func:`network_faults` makes the network that the configuration describes, which
evaluates the bundle's expressions: call it only for a bundle that has been looked through, or is trusted.
"""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.trust.config_files import read_config
from pipelines.trust.finding import Finding, shown
from pipelines.trust.fingerprint import file_sha256
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    import torch

WEIGHTS = (".pt", ".ts", ".onnx", ".pt2")
SIDE = 32
_CARD_ROW = re.compile(r"\|\s*`models/([^`|]+)`\s*\|\s*`([0-9a-f]{64})`\s*\|")
_TEMPLATE = re.compile(r"(?:(?P<factor>\d+)\*)?n|(?P<base>\d+)\*\*p(?P<times>\*n)?|\*")


def weight_files(folder: Path) -> list[Path]:
    """Give the weight files of a bundle."""
    return sorted(path for path in (folder / "models").glob("*") if path.suffix in WEIGHTS and path.is_file())


def hash_faults(folder: Path) -> list[Finding]:
    """Compare each weight file's SHA-256 with what ``docs/proof.json`` and the card tell of it.

    A bundle that tells no hash at all is not at fault; one that tells some must tell all.
    """
    findings = []
    told: dict[Path, Mapping[str, str]] = {}
    proof, card = folder / "docs" / "proof.json", folder / "docs" / "README.md"
    if proof.is_file():
        try:
            hashes = read_config(proof).get("sha256", {})
            told[proof] = hashes if isinstance(hashes, dict) else {}
        except InputError as fault:
            findings.append(Finding(proof, "", fault.reason))
    rows = dict(_CARD_ROW.findall(card.read_text(encoding="utf-8", errors="replace"))) if card.is_file() else {}
    if rows:
        told[card] = rows
    files = {file.name: file_sha256(file) for file in weight_files(folder)}
    for source, hashes in told.items():
        for name, digest in files.items():
            if name not in hashes:
                findings.append(Finding(source, "", f"tells no SHA-256 of models/{name}"))
            elif hashes[name] != digest:
                findings.append(
                    Finding(folder / "models" / name, "", f"has another SHA-256 than docs/{source.name} tells")
                )
        for name in set(hashes) - set(files):
            findings.append(Finding(source, "", f"tells of models/{shown(str(name))}, which is not there"))
    return findings


def archive_faults(folder: Path) -> list[Finding]:
    """Look into ``model.ts`` as an archive: it carries the configurations, under the name that it was saved with."""
    file = folder / "models" / "model.ts"
    if not file.is_file():
        return []
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            roots = {name.partition("/")[0] for name in names}
            if roots != {file.stem}:
                found = ", ".join(shown(root) for root in sorted(roots)[:3])
                return [
                    Finding(
                        file,
                        "",
                        f"was saved as {found} and renamed, so the MONAI Deploy App SDK finds no configuration",
                    )
                ]
            carried = {
                name: archive.read(f"{file.stem}/extra/{name}") if f"{file.stem}/extra/{name}" in names else None
                for name in ("metadata.json", "inference.json")
            }
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as fault:
        return [Finding(file, "", f"is no readable archive: {fault}")]
    return [finding for name, text in carried.items() for finding in _carried(folder, file, name, text)]


def _carried(folder: Path, file: Path, name: str, text: bytes | None) -> list[Finding]:
    if text is None:
        return [Finding(file, "", f"carries no {name}")]
    try:
        inside = json.loads(text)
    except ValueError:
        return [Finding(file, "", f"carries a {name} that is no JSON")]
    outside = folder / "configs" / name
    if not outside.is_file():
        return []
    try:
        expected = read_config(outside)
    except InputError:
        return []  # told where the file itself is checked
    # MONAI adds the time and its own version to the metadata that it puts inside.
    same = isinstance(inside, dict) and {key: inside.get(key) for key in expected} == expected
    return [] if same else [Finding(file, "", f"carries another {name} than configs/{name}")]


def weight_faults(folder: Path) -> list[Finding]:
    """Load ``model.pt`` and ``model.ts`` and look at the weights: flat, finite, the same where they have one name.

    Whether two files whose weights have other names compute the same is for :func:`network_faults` to say.
    """
    import torch

    findings, states = [], {}
    for name, load in (("model.pt", _flat_state), ("model.ts", _scripted_state)):
        file = folder / "models" / name
        if file.is_file():
            try:
                states[file] = load(file)
            except Exception as fault:  # torch raises whatever its readers do
                reason = fault.reason if isinstance(fault, InputError) else f"does not load: {_first_line(fault)}"
                findings.append(Finding(file, "", reason))
    for file, state in states.items():
        for name, value in state.items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                findings.append(Finding(file, "", f"{name} holds NaN or infinity"))
    if len(states) == 2:
        (_, one), (scripted, other) = states.items()
        differing = [name for name in {**one, **other} if not _equal(one.get(name), other.get(name))]
        if differing and set(one) & set(other):
            count = f"{len(differing)} tensors, first {shown(differing[0])}"
            findings.append(Finding(scripted, "", f"holds other weights than model.pt: {count}"))
    return findings


def _flat_state(file: Path) -> Mapping[str, Any]:
    import torch

    state = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(file, "is no flat state_dict (names to tensors), so monai.bundle.load cannot use it")
    return state


def _scripted_state(file: Path) -> Mapping[str, Any]:
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        state: Mapping[str, Any] = torch.jit.load(str(file), map_location="cpu").state_dict()
    return state


def network_faults(folder: Path, inference: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[Finding]:
    """Make the network, load ``model.pt``, run it on noise and compare what it gives with what the metadata says.

    This evaluates expressions of the bundle.

    Args:
        folder: the bundle's folder.
        inference: its inference configuration, merged.
        metadata: content of ``metadata.json``.
    """
    import torch
    from monai.bundle import ConfigParser

    file = folder / "configs" / "metadata.json"
    formats = metadata["network_data_format"]
    taken, given = formats["inputs"]["image"], formats["outputs"]["pred"]
    shape = [fake_side(side) for side in taken["spatial_shape"]]
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        parser = ConfigParser(dict(inference))
        parser["_meta_"] = dict(metadata)
        parser["bundle_root"], parser["device"] = str(folder.resolve()), torch.device("cpu")
        try:
            network = parser.get_parsed_content("network_def").to("cpu").eval()
            if (folder / "models" / "model.pt").is_file():
                network.load_state_dict(
                    torch.load(folder / "models" / "model.pt", map_location="cpu", weights_only=True)
                )
            if not (folder / "models" / "model.ts").is_file():
                torch.jit.script(network)
            noise = torch.rand(1, taken["num_channels"], *shape, generator=torch.Generator().manual_seed(0))
            noise = noise.to(getattr(torch, taken["dtype"]))
            output = network(noise)
            scripted = _scripted_output(folder, noise)
        except Exception as fault:  # what a stranger's network raises is not known
            return [Finding(folder, "network_def", f"does not run on an image of {shape} voxels: {_first_line(fault)}")]
    found = [
        Finding(file, "network_data_format::outputs::pred", reason) for reason in _output_faults(output, given, shape)
    ]
    if isinstance(output, torch.Tensor) and scripted is not None and not _same(output, scripted):
        found.append(Finding(folder / "models" / "model.ts", "", "gives something else than network_def with model.pt"))
    return found


def _scripted_output(folder: Path, image: torch.Tensor) -> Any:
    """Give what ``model.ts`` makes of an image; None when there is no such file."""
    import torch

    file = folder / "models" / "model.ts"
    return torch.jit.load(str(file), map_location="cpu").eval()(image) if file.is_file() else None


def _same(one: torch.Tensor, other: Any) -> bool:
    """Tell whether two networks give the same but for rounding; what is not finite is told of elsewhere."""
    import torch

    return isinstance(other, torch.Tensor) and torch.allclose(one, other, rtol=1e-3, atol=1e-3, equal_nan=True)


def fake_side(side: int | str) -> int:
    """Give a side in voxels for an entry of ``spatial_shape``: about ``SIDE``, if the entry leaves a choice."""
    if isinstance(side, int):
        return side
    match = _TEMPLATE.fullmatch(side)
    if match is None or side == "*":
        return SIDE
    if match["base"]:
        power = 1
        while int(match["base"]) > 1 and int(match["base"]) ** (power + 1) <= SIDE:
            power += 1
        return int(match["base"]) ** power
    factor = int(match["factor"] or 1)
    return factor * max(1, SIDE // factor)


def _output_faults(output: Any, given: Mapping[str, Any], shape: list[int]) -> list[str]:
    import torch

    if not isinstance(output, torch.Tensor):
        return [f"says one tensor, the network gives a {type(output).__name__}"]
    faults = []
    if output.shape[1] != given["num_channels"]:
        faults.append(f"says {given['num_channels']} channels, the network gives {output.shape[1]}")
    if output.dtype != getattr(torch, given["dtype"], None):
        faults.append(f"says {given['dtype']}, the network gives {str(output.dtype).removeprefix('torch.')}")
    limits = given.get("value_range") or []
    if not bool(torch.isfinite(output).all()):
        faults.append(f"is not finite for an image of {shape} voxels")
    elif len(limits) == 2 and not (limits[0] - 1e-4 <= float(output.min()) and float(output.max()) <= limits[1] + 1e-4):
        faults.append(
            f"says values in {limits}, the network gives {float(output.min()):.4g} to {float(output.max()):.4g}"
        )
    return faults


def _equal(one: Any, other: Any) -> bool:
    import torch

    return one is not None and other is not None and one.shape == other.shape and bool(torch.equal(one, other))


def _first_line(fault: BaseException) -> str:
    lines = str(fault).strip().splitlines()
    return shown(lines[0]) if lines else type(fault).__name__

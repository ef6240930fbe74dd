"""Weights from elsewhere: whole, as their hashes say, of the right shapes, finite, and without code that does harm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.trust.fingerprint import file_sha256
from pipelines.trust.torchscript import check_torchscript
from pipelines.trust.zip_checks import Caps, check_contents
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    import torch

PROOF_FILE, CARD_FILE = Path("docs/proof.json"), Path("docs/README.md")
SUFFIXES = (".pt", ".pth", ".ts")
# Of zeros, which weights may be, deflate makes a thousandth; torch itself packs no tensor.
WEIGHT_CAPS = Caps(members=100_000, ratio=2000)
LARGEST_CARD = 2**22


def check_bundle_weights(bundle: Path, *, code_trusted: bool = False) -> None:
    """Check every weight file of a bundle, before torch opens any.

    Args:
        bundle: the bundle's folder.
        code_trusted: whether the code in TorchScript files may be any.

    Raises:
        InputError: naming the file that is missing though a hash of it is told, has another hash, is damaged, or
            holds code that is not allowed.
    """
    models = bundle / "models"
    for name, told in told_hashes(bundle).items():
        file = models / name
        if not file.is_file():
            if name.endswith(SUFFIXES):
                raise InputError(file, "is missing, though the bundle tells its hash")
            continue
        found = file_sha256(file)
        if found != told:
            raise InputError(
                file, f"has the SHA-256 {found}, but the bundle says {told}: it was changed after the bundle was made"
            )
    for file in sorted(path for path in bundle.rglob("*") if path.suffix in SUFFIXES and path.is_file()):
        check_weight_file(file, code_trusted=code_trusted)


def check_weight_file(file: Path, *, code_trusted: bool = False) -> None:
    """Check one file that ``torch.save`` or ``torch.jit.save`` has written.

    Raises:
        InputError: when it is no zip archive, damaged, too large, or holds code that is not allowed.
    """
    check_contents(file, WEIGHT_CAPS)
    if not code_trusted:
        check_torchscript(file)


def told_hashes(bundle: Path) -> dict[str, str]:
    """Give the SHA-256 of each weight file by its name, as ``docs/proof.json`` or else the model card tells it.

    Raises:
        InputError: when ``docs/proof.json`` is there and cannot be read.
    """
    proof = bundle / PROOF_FILE
    if proof.is_file():
        try:
            told = json.loads(proof.read_text(encoding="utf-8")).get("sha256", {})
            pairs = {str(name): str(value).lower() for name, value in told.items()}
        except (OSError, ValueError, AttributeError, RecursionError) as fault:
            raise InputError(proof, "cannot be read, so the weights cannot be compared with their hashes") from fault
        wrong = [name for name, value in pairs.items() if not re.fullmatch(r"[0-9a-f]{64}", value) or "/" in name]
        if wrong:
            raise InputError(proof, f"tells no SHA-256 of {wrong[0]!r}")
        return pairs
    card = bundle / CARD_FILE
    try:
        if not card.is_file() or card.stat().st_size > LARGEST_CARD:
            return {}
        text = card.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    # As in the table that `export_bundle` writes: | `models/model.pt` | `0123...` |
    found = re.findall(r"models/([\w.-]+)`?\s*\|\s*`?([0-9a-fA-F]{64})\b", text)
    return {name: value.lower() for name, value in found}


def load_state(network: torch.nn.Module, file: Path) -> None:
    """Give ``network`` the weights in ``file``, a plain state dictionary, all of them and no others.

    Raises:
        InputError: naming the tensor that is missing, is one too many, has another shape, or is not finite.
    """
    import torch

    check_weight_file(file)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as fault:
        raise InputError(file, "holds no plain weights, or is damaged") from fault
    for key in ("model", "state_dict"):
        if isinstance(state, Mapping) and set(state) == {key}:
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(file, "holds something else than named tensors")
    _check_shapes(network.state_dict(), state, file)
    check_finite(state.items(), file)
    network.load_state_dict(dict(state))


def _check_shapes(wanted: Mapping[str, Any], found: Mapping[str, Any], file: Path) -> None:
    for name, tensor in wanted.items():
        if name not in found:
            raise InputError(file, f"lacks the tensor {name}, so it is of another network than the configuration's")
        if found[name].shape != tensor.shape:
            raise InputError(
                file, f"has {name} of shape {tuple(found[name].shape)}, but the network's is {tuple(tensor.shape)}"
            )
    others = [name for name in found if name not in wanted]
    if others:
        raise InputError(file, f"has the tensor {others[0]}, which the configuration's network has not")


def check_finite(tensors: Iterable[tuple[str, torch.Tensor]], file: Path) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        InputError: naming the first such tensor.
    """
    import torch

    for name, tensor in tensors:
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(file, f"holds NaN or infinite weights ({name})")

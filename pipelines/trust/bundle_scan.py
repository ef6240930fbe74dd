"""Looking through a bundle, or a run folder, before anything of it is parsed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pipelines.trust.config_files import read_config
from pipelines.trust.config_scan import parts_for, scan_config, scan_data
from pipelines.trust.finding import Finding
from pipelines.trust.fingerprint import bundle_sha256
from transforms.io.input_error import InputError, InputErrors

INFERENCE_FILE, METADATA_FILE, RUN_CONFIG_FILE = (
    Path("configs/inference.json"),
    Path("configs/metadata.json"),
    "config.yaml",
)
# What inference asks a configuration for; the rest of it is never parsed.
INFERENCE_PARTS = ("network_def", "preprocessing", "inferer", "postprocessing")
MOST_TOLD = 5


def scan_bundle(folder: Path) -> list[Finding]:
    """Look through all that would be parsed of a bundle, or of a run folder.

    Of a bundle that is ``configs/inference.json`` and ``configs/metadata.json``, whole; of a run folder, whose
    configuration is that of a training, the parts of ``config.yaml`` that inference makes.

    Returns:
        What is not allowed, each with its file and its id; nothing when the folder is harmless.
    """
    try:
        if (folder / RUN_CONFIG_FILE).is_file():
            return run_findings(read_config(folder / RUN_CONFIG_FILE), folder)
        return bundle_findings(read_config(folder / INFERENCE_FILE), read_config(folder / METADATA_FILE), folder)
    except InputError as fault:
        return [Finding(Path(fault.subject), "", fault.reason)]


def bundle_findings(config: Mapping[str, Any], metadata: Mapping[str, Any], folder: Path) -> list[Finding]:
    """Look through the two configurations of a bundle as they were read."""
    file = folder / INFERENCE_FILE
    whole = scan_config(config, file, for_inference=False)
    # Masks are written by inference itself, after what writes them has been taken out.
    made = scan_config(bundle_parts(without_writers(config)), file, for_inference=True)
    known = {finding.id for finding in whole}
    found = [*whole, *(finding for finding in made if finding.id not in known)]
    return [*_links_out(folder), *found, *scan_data(metadata, folder / METADATA_FILE)]


def bundle_parts(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give the entries of a bundle's configuration that inference makes, and what they refer to."""
    return parts_for(config, (network_part(config), *INFERENCE_PARTS))


def network_part(config: Mapping[str, Any]) -> str:
    """Give the id of what the bundle runs: ``network`` where that is a TorchScript file, else ``network_def``."""
    text = config.get("network")
    return "network" if isinstance(text, str) and text.startswith("$torch.jit.load(") else "network_def"


def run_findings(config: Mapping[str, Any], folder: Path) -> list[Finding]:
    """Look through the parts of a run's configuration that inference makes, as they were read."""
    return scan_config(parts_for(config, INFERENCE_PARTS), folder / RUN_CONFIG_FILE, for_inference=True)


def without_writers(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give a configuration without MONAI's ``SaveImage`` and ``SaveImaged``, wherever they are in a list."""
    return {name: _without_writers(value) for name, value in config.items()}


def _without_writers(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _without_writers(value) for name, value in node.items()}
    if isinstance(node, list):
        return [_without_writers(value) for value in node if not target_of(value).startswith("SaveImage")]
    return node


def target_of(node: Any) -> str:
    """Give the last part of a component's name; nothing for what is no component."""
    target = node.get("_target_") if isinstance(node, dict) else None
    return target.rpartition(".")[2] if isinstance(target, str) else ""


def refuse_findings(source: Path, folder: Path, findings: list[Finding], trusted: Collection[str]) -> str:
    """Let a folder through that is harmless, or trusted by its hash.

    Args:
        source: what the user has given, for the refusal.
        folder: its files.
        findings: what is not allowed in it.
        trusted: SHA-256 hashes of the bundles that may run their code.

    Returns:
        The hash of the folder; nothing when no hash was asked for.

    Raises:
        InputErrors: with what was found, and the hash that would let it through.
    """
    if not findings and not trusted:
        return ""
    digest = bundle_sha256(folder)
    if findings and digest not in trusted:
        told = [finding.refusal() for finding in findings[:MOST_TOLD]]
        more = f"{len(findings) - MOST_TOLD} findings more; " if len(findings) > MOST_TOLD else ""
        hint = f"{more}if you know who made {source} and let it run any code as you, pass --trust {digest}"
        raise InputErrors([*told, InputError("--trust", hint)])
    return digest


def _links_out(folder: Path) -> list[Finding]:
    """Find symbolic links that lead out of the folder, or nowhere."""
    root = folder.resolve()
    return [
        Finding(path, "", "is a symbolic link out of the bundle")
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() and not (path.exists() and path.resolve().is_relative_to(root))
    ]

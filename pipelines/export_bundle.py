"""Turn a training run into a bundle that runs with stock MONAI alone, as a folder and as a zip file.

Before it says done, it compares every exported form of the network with the trained one, and the mask of one synthetic
image with that of ``python -m monai.bundle run`` in a process that cannot import this project. ``--to
slicer-auto3dseg`` writes what 3D Slicer's MONAIAuto3DSeg loads in place of a bundle.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.console import command_parser, run_command, say
from pipelines.prediction.options import add_trust_argument, check_trust_argument, trusted_hashes
from transforms.io.input_error import InputError

LARGEST_SHARE = 1e-3
PROOF_FILE = Path("docs", "proof.json")
CARD_FILE = Path("docs", "README.md")
BUNDLE, SLICER = "monai-bundle", "slicer-auto3dseg"


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = command_parser("export_bundle", "Turn a training run into a bundle that runs with stock MONAI alone.")
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the bundle; DIR.zip is written too")
    parser.add_argument("--onnx", action="store_true", help="write models/model.onnx too, and run it with onnxruntime")
    parser.add_argument("--pt2", action="store_true", help="write models/model.pt2 (torch.export) too")
    parser.add_argument("--to", choices=(BUNDLE, SLICER), default=BUNDLE, help="for whom to export")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")
    add_trust_argument(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of a refusal too")
    return parser


def run(args: argparse.Namespace) -> int:
    """Export, prove, and put both forms in their places."""
    archive = args.output.parent / f"{args.output.name}.zip"
    if args.to == SLICER and (args.onnx or args.pt2):
        raise InputError("--onnx" if args.onnx else "--pt2", f"is a form of a bundle's network, and --to is {SLICER}")
    check_trust_argument(args)
    _check(args.run, args.output, archive, args.overwrite)
    from pipelines.export.bundle_export import export_for_slicer, replace_folder
    from pipelines.workflow import quiet_monai

    quiet_monai()
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".part-", dir=args.output.parent))
    except OSError as fault:
        raise InputError(args.output.parent, f"cannot be written to: {fault.strerror}") from fault
    try:
        staged = work / args.output.name
        if args.to == SLICER:
            export_for_slicer(args.run, staged, trusted_hashes(args))
        else:
            _export_bundle(args, staged)
        write_zip(staged, archive)
        replace_folder(staged, args.output)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"{'bundle' if args.to == BUNDLE else 'for 3D Slicer'}: {args.output} and {archive}")
    return 0


def _export_bundle(args: argparse.Namespace, staged: Path) -> None:
    """Export into ``staged`` and prove that stock MONAI gives our mask with it.

    Raises:
        RuntimeError: when it gives another.
    """
    from pipelines.export.bundle_export import export_run
    from pipelines.export.stock_run import compare_with_stock
    from pipelines.export.weight_forms import OPTIONAL_FORMS, check_onnx_packages

    if args.onnx:
        check_onnx_packages()
    forms = [form for name, form in OPTIONAL_FORMS.items() if getattr(args, name)]
    export_run(args.run, staged, _summary(args.run), forms, trusted_hashes(args))
    masks = compare_with_stock(args.run, staged, trusted_hashes(args))
    told = f"{masks.differing} of {masks.voxels} voxels differ ({masks.foreground} in the mask)"
    if masks.differing > LARGEST_SHARE * masks.voxels:
        raise RuntimeError(f"stock MONAI gives another mask with the exported bundle: {told}")
    say(f"stock MONAI's mask of a synthetic image, against ours: {told}")
    _add_proof(staged, vars(masks), told)


def write_zip(folder: Path, archive: Path) -> None:
    """Pack a folder, as the one top folder, into a zip file that appears whole; the same files give the same bytes."""
    from transforms.io.atomic import atomic_path

    with atomic_path(archive) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as target:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(f"{folder.name}/{file.relative_to(folder).as_posix()}")
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, file.read_bytes())


def _check(run_folder: Path, output: Path, archive: Path, overwrite: bool) -> None:
    """Refuse what can be refused before anything is loaded."""
    if not (run_folder / "config.yaml").is_file() or not (run_folder / "run.json").is_file():
        raise InputError(run_folder, "is no run folder (config.yaml or run.json is missing)")
    if output.name in ("", ".", ".."):
        raise InputError(output, "has no name of its own, which the bundle needs")
    if output.exists():
        # A bundle, or what MONAIAuto3DSeg loads.
        is_bundle = (output / "configs" / "metadata.json").is_file() or (output / "labels.csv").is_file()
        if not output.is_dir() or (any(output.iterdir()) and not is_bundle):
            raise InputError(output, "holds something that is no bundle; choose another folder")
        if is_bundle and not overwrite:
            raise InputError(output, "holds a bundle; choose another folder or pass --overwrite")
    if archive.exists() and not overwrite:
        raise InputError(archive, "is there already; choose another folder or pass --overwrite")


def _summary(run_folder: Path) -> dict[str, Any] | None:
    """Give the run's test scores, for the model card."""
    file = run_folder / "summary.json"
    if not file.is_file():
        return None
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as fault:
        raise InputError(file, "cannot be read as the run's scores") from fault


def _add_proof(bundle: Path, masks: dict[str, Any], told: str) -> None:
    """Store how the masks compare, beside the networks and in the card."""
    from transforms.io.atomic import write_json_atomic, write_text_atomic

    proof = json.loads((bundle / PROOF_FILE).read_text(encoding="utf-8"))
    write_json_atomic(bundle / PROOF_FILE, {**proof, "mask_with_stock_monai": masks})
    card = bundle / CARD_FILE
    text = card.read_text(encoding="utf-8")
    line = f"Of a synthetic image, the mask of `python -m monai.bundle run` against that of `concord infer`: {told}."
    write_text_atomic(card, text.replace("\n## References\n", f"\n{line}\n\n## References\n", 1))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`pipelines.console.run_command` for what it returns."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())

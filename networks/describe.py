"""Report the parameters, the multiply-adds and the receptive field of the networks.

Without a name, of every network, in the forms that papers have published; with ``--set``, of any form:

    python -m networks.describe
    python -m networks.describe LRASPPMobileNet --set spatial_dims=2 in_channels=3 out_channels=21 --size 512 512
"""

from __future__ import annotations

import argparse
import ast
import difflib
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import nn

DEFAULT_SIDES = {2: 256, 3: 96}


class DescriptionError(ValueError):
    """What the user has asked for cannot be done: said in one line."""


class Description(NamedTuple):
    """What a network costs and sees.

    Attributes:
        network: its class.
        form: the published variant, or the options that it was built with.
        parameters: trained numbers.
        size: sides of the image that multiply-adds are counted for, voxels.
        multiply_adds: of the convolutions and matrix products of one image.
        receptive_field: side of the region that an output voxel depends on, voxels; None where it was not measured.
        whole_image: whether means or norms over the image make it depend on all of it beside that.
    """

    network: str
    form: str
    parameters: int
    size: tuple[int, ...]
    multiply_adds: int
    receptive_field: int | None
    whole_image: bool | None


def parameter_count(network: nn.Module) -> int:
    """Count the trained numbers of a network."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def multiply_adds(network: nn.Module, size: Sequence[int]) -> int:
    """Count the multiply-adds of one image in evaluation mode: those of convolutions and matrix products.

    Nothing is computed and no memory taken: the network runs on shapes alone.

    Args:
        network: with the attribute ``in_channels``; it is left as it is.
        size: sides of the image.
    """
    import copy

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    shapes = copy.deepcopy(network).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shapes(torch.zeros(1, _number(network, "in_channels"), *size, device="meta"))
    return int(counter.get_total_flops()) // 2


def describe(network: nn.Module, form: str, size: Sequence[int] = (), *, measure_field: bool = True) -> Description:
    """Describe a network.

    Args:
        network: with the attributes ``spatial_dims`` and ``in_channels``.
        form: what it is called.
        size: sides of the image to count multiply-adds for; 256 each in 2D and 96 in 3D when empty.
        measure_field: whether to measure the receptive field, which takes seconds.

    Raises:
        DescriptionError: when there is not one side per axis, or one is below one.
    """
    from networks.receptive_field import receptive_field

    dims = _number(network, "spatial_dims")
    sides = tuple(size) or (DEFAULT_SIDES[dims],) * dims
    if len(sides) != dims or min(sides) < 1:
        raise DescriptionError(f"--size: needs {dims} sides from 1 voxel on for {type(network).__name__} ({form})")
    field = receptive_field(network, dims, _number(network, "in_channels")) if measure_field else None
    return Description(
        type(network).__name__,
        form,
        parameter_count(network),
        sides,
        multiply_adds(network, sides),
        field.side if field else None,
        field.whole_image if field else None,
    )


def published_networks() -> dict[str, Any]:
    """Give the public networks that papers have published, by name."""
    from networks import nets

    classes = {name: getattr(nets, name) for name in nets.__all__}
    return {name: kind for name, kind in classes.items() if hasattr(kind, "published")}


def build_parser() -> argparse.ArgumentParser:
    """Make the command's parser."""
    parser = argparse.ArgumentParser(
        prog="python -m networks.describe",
        description="Report the parameters, multiply-adds (of one image) and receptive field (voxels) of networks.",
    )
    parser.add_argument("networks", nargs="*", metavar="NAME", help="of networks.nets; default: all published ones")
    parser.add_argument("--variant", metavar="V", help="the published form of that name alone; default: every one")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="OPTION=VALUE",
        help="build the network with these options of its class in place of a published form",
    )
    parser.add_argument(
        "--size", type=int, nargs="+", default=[], metavar="N", help="sides of the image; default 256 (2D), 96 (3D)"
    )
    parser.add_argument("--no-field", action="store_true", help="leave out the receptive field, which takes seconds")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a refusal too")
    return parser


def run(args: argparse.Namespace) -> int:
    """Describe what was asked for, and print it."""
    known = published_networks()
    names = args.networks or list(known)
    for name in names:
        if name not in known:
            raise DescriptionError(f"{name}: is no network here{_nearest(name, known)}; there are {', '.join(known)}")
    if args.set and len(names) != 1:
        raise DescriptionError("--set: needs the name of one network")
    if args.set and args.variant:
        raise DescriptionError("--variant: is a published form, which --set takes the place of")
    found = []
    same: dict[str, Description] = {}  # some published forms are the same network
    for name in names:
        for form, network in _forms(known[name], args).items():
            sys.stderr.write(f"{name} ({form})\n")
            layers = repr(network)
            if layers not in same:
                same[layers] = describe(network, form, args.size, measure_field=not args.no_field)
            found.append(same[layers]._replace(form=form))
    sys.stdout.write((json.dumps([row._asdict() for row in found], indent=2) if args.json else table(found)) + "\n")
    return 0


def table(rows: Sequence[Description]) -> str:
    """Write descriptions as a table."""
    head = ("network", "form", "parameters", "image", "multiply-adds", "receptive field")
    cells = [head]
    for row in rows:
        field = "not measured" if row.receptive_field is None else f"{row.receptive_field}"
        field += ", and means over the image" if row.whole_image else ""
        sides = " x ".join(map(str, row.size))
        cells.append((row.network, row.form, f"{row.parameters:,}", sides, f"{row.multiply_adds / 1e9:.3f} G", field))
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _forms(kind: Any, args: argparse.Namespace) -> dict[str, nn.Module]:
    """Build the forms of one class that are asked for."""
    if args.set:
        options = _options(kind, args.set)
        try:
            network = kind(**options)
        except (TypeError, ValueError, KeyError) as fault:
            raise DescriptionError(f"--set: {kind.__name__} cannot be built so: {fault}") from fault
        return {" ".join(args.set): network}
    variants = kind.PUBLISHED if args.variant is None else (args.variant,)
    if args.variant is not None and args.variant not in kind.PUBLISHED:
        raise DescriptionError(f"--variant: {kind.__name__} has {', '.join(kind.PUBLISHED)}, not {args.variant}")
    return {variant: kind.published(variant) for variant in variants}


def _options(kind: Any, given: Sequence[str]) -> dict[str, Any]:
    """Read ``OPTION=VALUE`` pairs: Python literals, or text."""
    known = inspect.signature(kind).parameters
    options: dict[str, Any] = {}
    for pair in given:
        name, separator, text = pair.partition("=")
        if not separator:
            raise DescriptionError(f"--set: takes OPTION=VALUE, got {pair}")
        if name not in known:
            raise DescriptionError(f"--set: {kind.__name__} has no option {name}{_nearest(name, known)}")
        try:
            options[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            options[name] = text
    missing = [name for name, option in known.items() if option.default is option.empty and name not in options]
    if missing:
        raise DescriptionError(f"--set: {kind.__name__} needs {', '.join(missing)} too")
    return options


def _number(network: nn.Module, name: str) -> int:
    value: Any = getattr(network, name)
    return int(value)


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 when done, 2 for what cannot be done."""
    args = build_parser().parse_args(argv)
    try:
        return run(args)
    except DescriptionError as refusal:
        if args.debug:
            raise
        sys.stderr.write(f"error: {refusal}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())

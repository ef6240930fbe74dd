"""Time of sliding-window inference beside the plain published loop, over one volume and with networks of one form.

    python -m benchmarks.sliding_window [--full] [--repeats N] [--threads N] [--json FILE]

The published loop is :mod:`benchmarks.published_dtc`: stride 18x18x4, one window at a time, mean of the mask
probabilities. Ours is the inferer of the bundles: Gaussian weights, half overlap, two windows at a time; and, so that
the choice of windows and the code can be told apart, the published stride with our code. Every round runs each once, so
that a load on the machine meets all of them; medians are shown. On a busy machine trust the ratio of CPU times.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from monai.inferers import SlidingWindowInferer
from torch import nn

from benchmarks.published_dtc import PublishedVNet, sliding_window
from benchmarks.timing import time_in_turn
from networks.nets.dual_task_predictor import DualTaskPredictor
from networks.nets.dual_task_vnet import DualTaskOutput, DualTaskVNet
from pipelines.console import run_command, say
from pipelines.prediction.loading import stride_overlap
from transforms.io.atomic import write_json_atomic

PATCH, VOLUME, FILTERS = (96, 96, 64), (128, 112, 80), 8
FULL_PATCH, FULL_VOLUME, FULL_FILTERS = (112, 112, 80), (194, 142, 88), 16
STRIDE = (18, 18, 4)


class Swapped(nn.Module):
    """Our network with its outputs in the order of the published one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        output: DualTaskOutput = self.network(x)
        return output.sdf, output.mask


def our_inference(
    network: nn.Module, image: torch.Tensor, patch: Sequence[int], overlap: float | Sequence[float], mode: str
) -> torch.Tensor:
    """Class probabilities (H, W, D) by the inferer of ``bundles/left_atrium_dtc``."""
    inferer = SlidingWindowInferer(patch, sw_batch_size=2, overlap=overlap, mode=mode, padding_mode="constant")
    with torch.inference_mode():
        probabilities = cast(torch.Tensor, inferer(image[None, None], network))
    return probabilities[0, 1]


def largest_difference(seed: int) -> float:
    """Of the two codes with the same windows and the same weights, on a small volume."""
    torch.manual_seed(seed)
    network = DualTaskVNet(3, 1, 1, filters=2).eval()
    image, patch, stride = torch.randn(48, 40, 40), (32, 32, 32), (10, 6, 4)
    theirs = sliding_window(Swapped(network), image, patch, stride)
    ours = our_inference(DualTaskPredictor(network, k=1500.0), image, patch, stride_overlap(stride, patch), "constant")
    return (ours - theirs).abs().max().item()


def windows(volume: Sequence[int], patch: Sequence[int], stride: Sequence[float]) -> int:
    count = 1
    for size, side, step in zip(volume, patch, stride, strict=True):
        count *= -(-(size - side) // int(step)) + 1
    return count


def build_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = argparse.ArgumentParser(prog="benchmarks.sliding_window", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--full", action="store_true", help="the published windows and filters on a mean left-atrium scan"
    )
    parser.add_argument("--repeats", type=int, default=1, help="timed rounds (default: 1)")
    parser.add_argument("--threads", type=int, default=2, help="threads of every implementation (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of image and weights (default: 0)")
    parser.add_argument("--json", type=Path, help="write the table to this file too")
    return parser


def run(args: argparse.Namespace) -> int:
    """Measure and print the table."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    patch, volume, filters = (FULL_PATCH, FULL_VOLUME, FULL_FILTERS) if args.full else (PATCH, VOLUME, FILTERS)
    image = torch.randn(volume)
    published = PublishedVNet(filters).eval()
    network = DualTaskVNet(3, 1, 1, filters=filters)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    ours = DualTaskPredictor(network, k=1500.0).eval()
    sliding_window(published, image[tuple(slice(side) for side in patch)], patch, STRIDE)  # one window, to warm up
    our_inference(ours, image[tuple(slice(side) for side in patch)], patch, 0.5, "constant")
    dense, half = windows(volume, patch, STRIDE), windows(volume, patch, [side / 2 for side in patch])
    rows = {
        f"published loop, {dense} windows": lambda: sliding_window(published, image, patch, STRIDE),
        f"Concord, {half} windows, Gaussian": lambda: our_inference(ours, image, patch, 0.5, "gaussian"),
        f"Concord, {dense} windows": lambda: our_inference(
            ours, image, patch, stride_overlap(STRIDE, patch), "constant"
        ),
    }
    seconds = time_in_turn(rows, args.repeats)
    base_wall, base_cpu = next(iter(seconds.values()))
    sides = ["x".join(map(str, shape)) for shape in (volume, patch)]
    say(f"volume {sides[0]}, window {sides[1]}, {filters} filters, {args.threads} threads")
    say(f"  {'median of ' + str(args.repeats):32}{'wall s':>8}{'speed-up':>10}{'CPU s':>8}{'speed-up':>10}")
    for name, (wall, cpu) in seconds.items():
        say(f"  {name:32}{wall:8.2f}{base_wall / wall:10.2f}{cpu:8.2f}{base_cpu / cpu:10.2f}")
    say(f"  largest difference with the same windows and weights: {largest_difference(args.seed):.1e}")
    if args.json:
        write_json_atomic(args.json, {"volume": volume, "window": patch, "threads": args.threads, "seconds": seconds})
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())

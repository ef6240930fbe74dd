"""Time of one training iteration beside the plain published loop: same shapes, same loss, same optimiser.

    python -m benchmarks.training_iteration [--full] [--repeats N] [--threads N] [--json FILE]

An iteration is the distance maps of the labelled samples, forward pass, losses, backward pass and SGD step, all in one
process on the CPU; loading data is not in it. The published loop is :mod:`benchmarks.published_dtc`: the same network
in the default memory format, two SciPy distance transforms per sample. In a training of ours the distance maps are made
by the data loader's processes, besides. Every round runs each implementation once, so that a load on the machine meets
all of them; medians are shown. On a busy machine trust the ratio of CPU times.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from benchmarks.published_dtc import PublishedVNet, signed_distance_target, training_loss
from benchmarks.timing import time_in_turn
from networks.losses.dual_task_consistency import DualTaskConsistencyLoss
from networks.losses.level_set import LevelSetLoss
from networks.losses.mask import MaskLoss
from networks.nets.dual_task_vnet import DualTaskVNet
from pipelines.console import run_command, say
from pipelines.engines.ramps import published_ramp
from transforms.io.atomic import write_json_atomic
from transforms.signed_distance_map import SignedDistanceMap

SHAPE, FULL = (64, 64, 48), (112, 112, 80)
ITERATIONS = 6000
Iteration = Callable[[int], float]


def make_batch(shape: Sequence[int], batch: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Seeded images (B, 1, H, W, D) of noisy blobs, and the labels (B / 2, 1, H, W, D) of the first half."""
    generator = torch.Generator().manual_seed(seed)
    grid = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, side) for side in shape), indexing="ij"))
    centres = 0.6 * torch.rand(batch, 3, 1, 1, 1, generator=generator) - 0.3
    labels = (grid[None] - centres).norm(dim=1, keepdim=True) < 0.5
    images = labels.float() + 0.5 * torch.randn(labels.shape, generator=generator)
    return images, labels[: batch // 2].long()


def optimizer_of(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)


def published_iteration(images: torch.Tensor, labels: torch.Tensor, filters: int) -> Iteration:
    """The loop of the paper's code."""
    network = PublishedVNet(filters).train()
    optimizer = optimizer_of(network)

    def iterate(iteration: int) -> float:
        loss = training_loss(network, images, labels, iteration)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return iterate


def our_iteration(images: torch.Tensor, labels: torch.Tensor, filters: int, threads: int, bias: bool) -> Iteration:
    """What ``pipelines.engines.DualTaskTrainer`` computes in an iteration, with the defaults of the bundles."""
    network = DualTaskVNet(3, 1, 1, filters=filters, bias=bias).train()
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimizer = optimizer_of(network)
    distance_map = SignedDistanceMap(mode="dtc", threads=threads)
    mask_loss, level_set_loss, consistency = MaskLoss(), LevelSetLoss(), DualTaskConsistencyLoss()
    count = len(labels)

    def iterate(iteration: int) -> float:
        target = torch.stack([torch.as_tensor(distance_map(label)) for label in labels])
        optimizer.zero_grad(set_to_none=True)
        output = network(images.contiguous(memory_format=torch.channels_last_3d))
        loss = mask_loss(output.mask[:count], labels) + 0.3 * level_set_loss(output.sdf[:count], target)
        loss = loss + published_ramp(iteration, ITERATIONS) * consistency(output.mask, output.sdf)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return iterate


def target_difference(labels: torch.Tensor) -> float:
    """Largest difference of the two distance maps."""
    distance_map = SignedDistanceMap(mode="dtc")
    ours = torch.stack([torch.as_tensor(distance_map(label)) for label in labels])[:, 0]
    return (ours - torch.from_numpy(signed_distance_target(labels[:, 0].numpy()))).abs().max().item()


def build_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = argparse.ArgumentParser(prog="benchmarks.training_iteration", description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the published 112x112x80 voxels, not 64x64x48")
    parser.add_argument("--batch", type=int, default=4, help="samples, the first half of them labelled (default: 4)")
    parser.add_argument("--filters", type=int, default=16, help="channels of the first level (default: 16)")
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds (default: 3)")
    parser.add_argument("--threads", type=int, default=2, help="threads of every implementation (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of images and weights (default: 0)")
    parser.add_argument("--json", type=Path, help="write the table to this file too")
    return parser


def run(args: argparse.Namespace) -> int:
    """Measure and print the table."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    shape = FULL if args.full else SHAPE
    images, labels = make_batch(shape, args.batch, args.seed)
    rows = {
        "published loop": published_iteration(images, labels, args.filters),
        "Concord, published network": our_iteration(images, labels, args.filters, args.threads, bias=True),
        "Concord, no bias before norms": our_iteration(images, labels, args.filters, args.threads, bias=False),
    }
    timed = {name: partial(iterate, 0) for name, iterate in rows.items()}
    time_in_turn(timed, 1)  # warms up
    seconds = time_in_turn(timed, args.repeats)
    base_wall, base_cpu = seconds["published loop"]
    say(f"{args.batch} x {'x'.join(map(str, shape))} voxels, {args.filters} filters, {args.threads} threads")
    say(f"  {'median of ' + str(args.repeats):30}{'wall ms':>10}{'speed-up':>10}{'CPU ms':>10}{'speed-up':>10}")
    for name, (wall, cpu) in seconds.items():
        say(f"  {name:30}{1e3 * wall:10.1f}{base_wall / wall:10.2f}{1e3 * cpu:10.1f}{base_cpu / cpu:10.2f}")
    say(f"  largest difference of the distance maps: {target_difference(labels):.1e}")
    if args.json:
        write_json_atomic(args.json, {"shape": shape, "threads": args.threads, "seconds": seconds})
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    return run_command(build_parser(), run, argv)


if __name__ == "__main__":
    sys.exit(main())

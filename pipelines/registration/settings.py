"""How a pair is registered: plain values, so that a command can refuse before anything heavy is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

ENGINES = ("convexadam", "simpleitk")
STARTS = ("auto", "header", "centre")
AFFINES = ("affine", "rigid", "none")


@dataclass(frozen=True)
class AffineSettings:
    """How the affine is found.

    Args:
        rigid_steps: steps of gradient descent over rotation and translation.
        affine_steps: further steps over all of the affine.
        rate: length of the first steps, in cells; it falls to 0 along a cosine in each of the two parts.
        cell: the features are averaged over cells of this many voxels an axis.
        stiffness: weight of the squared strain (stretch and shear, per axis), in units of the cost.
    """

    rigid_steps: int = 50
    affine_steps: int = 50
    rate: float = 0.5
    cell: int = 2
    stiffness: float = 0.1

    @property
    def is_off(self) -> bool:
        """Whether there is no step at all."""
        return self.rigid_steps + self.affine_steps == 0


@dataclass(frozen=True)
class ConvexAdamSettings:
    """How ConvexAdam works; the defaults are the published ones, where the image has room, but for ``shrinkage``.

    That is not in the publication: without it the dense search takes partners far away that look alike by chance,
    where the two modalities have little in common.

    Args:
        affine: see :class:`AffineSettings`.
        radius: of MIND's patches, in voxels.
        dilation: of MIND's neighbours, in voxels.
        cell: voxels an axis of a cell of the dense search, at most.
        least_cells: cells become smaller, so that the shortest axis has about this many.
        reach: longest displacement of the dense search, in cells.
        shrinkage: cost in the dense search of the squared length of a displacement in cells: whether a partner far
            away is believed. 0 as published.
        consistency_steps: towards inverse consistency; 0 searches in one direction only.
        adam_cell: voxels an axis of a cell of Adam's displacements.
        adam_steps: how many.
        adam_rate: in cells.
        diffusion: weight of the smoothness of Adam's field.
    """

    affine: AffineSettings = field(default_factory=AffineSettings)
    radius: int = 1
    dilation: int = 2
    cell: int = 6
    least_cells: int = 12
    reach: int = 4
    shrinkage: float = 0.03
    consistency_steps: int = 15
    adam_cell: int = 2
    adam_steps: int = 80
    adam_rate: float = 1.0
    diffusion: float = 1.25

    def search_cell(self, shape: tuple[int, ...]) -> int:
        """Give the cell of the dense search in a grid of this shape, in voxels; axes of few voxels do not count."""
        sides = [size for size in shape if size >= self.least_cells] or [max(shape)]
        return min(max(round(min(sides) / self.least_cells), 2), self.cell)


@dataclass(frozen=True)
class PairSettings:
    """How a pair is registered.

    Args:
        engine: ``convexadam`` or ``simpleitk``.
        start: ``header`` trusts the world coordinates, ``centre`` lays the middles of the fields of view (of the masks,
            where there are any) on each other, ``auto`` takes what resembles more of the two.
        affine: what comes before the deformation: ``affine``, ``rigid``, or ``none`` where the start is as good as it
            gets, as for scans of one person in one frame.
        spacing_mm: of the working grid; by default from the target.
        seed: of whatever the engine draws.
        convex_adam: settings of that engine.
    """

    engine: str = "convexadam"
    start: str = "auto"
    affine: str = "affine"
    spacing_mm: float | None = None
    seed: int = 0
    convex_adam: ConvexAdamSettings = field(default_factory=ConvexAdamSettings)

    def engine_settings(self) -> ConvexAdamSettings:
        """Give ``convex_adam`` with the steps of the affine that ``affine`` leaves."""
        steps = self.convex_adam.affine
        if self.affine != "affine":
            steps = replace(steps, affine_steps=0, rigid_steps=0 if self.affine == "none" else steps.rigid_steps)
        return replace(self.convex_adam, affine=steps)

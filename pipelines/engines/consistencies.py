"""What must agree on a scan that nobody labelled: each method of semi-supervised training as one callable.

Each is called with the network's output for a batch, the batch's images, and how many samples come first that have a
label.
"""

from __future__ import annotations

import torch
from torch import nn

from networks.layers.batch_statistics import batch_statistics
from networks.layers.class_probabilities import foreground_probabilities
from networks.losses.dual_task_consistency import DualTaskConsistencyLoss
from networks.losses.teacher_consistency import TeacherConsistencyLoss
from networks.nets.dual_task_vnet import DualTaskOutput


class HeadsAgree:
    """Dual-task consistency: the mask head and the level-set head of one network, on all samples.

    Reference: Luo et al., AAAI 2021.

    Args:
        loss: of mask logits and level set.
    """

    def __init__(self, loss: DualTaskConsistencyLoss) -> None:
        self.loss = loss

    def __call__(self, output: DualTaskOutput, image: torch.Tensor, labeled: int) -> torch.Tensor:
        """Compare the heads; neither the images nor the labelled count is needed."""
        value: torch.Tensor = self.loss(output.mask, output.sdf)
        return value


class Teacher:
    """A network's averaged self, which sees images through noise of its own and standardises by the batch at hand.

    Args:
        network: a network of the same form, which someone else keeps up to date.
        noise: standard deviation of the noise on the images, which are z-normalised.
        noise_limit: largest absolute value of the noise.
    """

    def __init__(self, network: nn.Module, noise: float, noise_limit: float) -> None:
        self.network = network
        self.noise = noise
        self.noise_limit = noise_limit

    @torch.no_grad()
    def __call__(self, image: torch.Tensor) -> DualTaskOutput:
        """What the teacher says of images (B, C, H, W[, D]); no gradient reaches it, and nothing in it changes."""
        noise = (torch.randn_like(image) * self.noise).clamp(-self.noise_limit, self.noise_limit)
        with batch_statistics(self.network):
            said: DualTaskOutput = self.network(image + noise)
        return said


class TeacherAgrees:
    """Mean teacher: the network's mask and that of its averaged self, on the samples without a label.

    Reference: Tarvainen and Valpola, NeurIPS 2017; the noise, and that the labelled samples are left out, as in the
    code of Yu et al., *UA-MT*, MICCAI 2019.

    Args:
        teacher: see :class:`Teacher`, as the last two.
        loss: of the student's and the teacher's mask logits.
        noise: see there.
        noise_limit: see there.
    """

    def __init__(
        self, teacher: nn.Module, loss: TeacherConsistencyLoss, noise: float = 0.1, noise_limit: float = 0.2
    ) -> None:
        self.teacher = Teacher(teacher, noise, noise_limit)
        self.loss = loss

    def __call__(self, output: DualTaskOutput, image: torch.Tensor, labeled: int) -> torch.Tensor:
        """Compare the student's ``output`` with what the teacher says of the same images; 0 where all are labelled."""
        if len(image) == labeled:
            return output.mask.new_zeros(())
        value: torch.Tensor = self.loss(output.mask[labeled:], self.teacher(image[labeled:]).mask)
        return value


class HeadsFollowTeacher:
    """Dual-task consistency through a teacher: both heads follow what the two heads of the averaged network agree on.

    The target is the mean of the teacher's mask and its level set taken to a mask, on the samples without a label. It
    is steadier than either head of the network itself, the heads cannot meet by giving in to one another, and what the
    labels say is not pulled at. The loss is the sum of the two heads' mean squared differences from it.

    Args:
        teacher: see :class:`Teacher`, as the last two.
        k: steepness of the smooth Heaviside function, in the inverse unit of the level set.
        noise: see there.
        noise_limit: see there.
    """

    def __init__(self, teacher: nn.Module, k: float, noise: float = 0.1, noise_limit: float = 0.2) -> None:
        self.teacher = Teacher(teacher, noise, noise_limit)
        self.k = k

    def __call__(self, output: DualTaskOutput, image: torch.Tensor, labeled: int) -> torch.Tensor:
        """Compare the student's ``output`` with what the teacher says of the same images; 0 where all are labelled."""
        if len(image) == labeled:
            return output.mask.new_zeros(())
        target = torch.stack(self._masks(self.teacher(image[labeled:]))).mean(dim=0)
        mask, from_level_set = self._masks(output)
        return (mask[labeled:] - target).square().mean() + (from_level_set[labeled:] - target).square().mean()

    def _masks(self, output: DualTaskOutput) -> tuple[torch.Tensor, torch.Tensor]:
        """Each head's chance of each class, in float32: in half precision ``k z`` overflows."""
        return foreground_probabilities(output.mask.float()), torch.sigmoid(-self.k * output.sdf.float())

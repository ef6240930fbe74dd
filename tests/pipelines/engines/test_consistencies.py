"""Consistencies: which heads are compared, and who learns from it."""

import math

import pytest
import torch
from torch import nn

from networks.losses.dual_task_consistency import DualTaskConsistencyLoss
from networks.losses.teacher_consistency import TeacherConsistencyLoss
from networks.nets.dual_task_vnet import DualTaskOutput, DualTaskVNet
from pipelines.engines.consistencies import HeadsAgree, HeadsFollowTeacher, TeacherAgrees

LN3, LN4 = math.log(3), math.log(4)
IMAGE = torch.zeros(2, 1, 3, 3)


def output(mask, sdf):
    """The same logit and the same level set in every voxel of two images."""
    values = [torch.full((2, 1, 3, 3), value, requires_grad=True) for value in (mask, sdf)]
    return DualTaskOutput(*values, [])


class Recorder(nn.Module):
    """A teacher with a fixed answer, which remembers what it was shown."""

    def __init__(self, mask=0.0, sdf=0.0):
        super().__init__()
        self.answer = output(mask, sdf)
        self.shown = None

    def forward(self, image):
        self.shown = image
        return DualTaskOutput(1 * self.answer.mask, 1 * self.answer.sdf, [])


def test_heads_agree_by_hand():
    """Mask 3/4, level set on the contour 1/2."""
    student = output(LN3, 0.0)
    loss = HeadsAgree(DualTaskConsistencyLoss(k=20.0))(student, IMAGE, 1)
    loss.backward()
    assert loss.item() == pytest.approx(1 / 16)
    assert student.mask.grad.abs().min() > 0
    assert student.sdf.grad.abs().min() > 0


def test_teacher_agrees_by_hand():
    """Masks 3/4 and 1/4; the level sets do not matter."""
    student, teacher = output(LN3, 0.5), Recorder(-LN3, -0.5)
    loss = TeacherAgrees(teacher, TeacherConsistencyLoss())(student, IMAGE, 0)
    loss.backward()
    assert loss.item() == pytest.approx(1 / 4)
    assert student.mask.grad.abs().min() > 0
    assert student.sdf.grad is None
    assert teacher.answer.mask.grad is None


# k = 2: student's mask and level set, teacher's mask and level set; both heads are compared with the mean of the
# teacher's two chances.
FOLLOWED = [
    (LN3, 0.0, 0.0, 0.0, 1 / 16),
    (0.0, -LN4 / 2, 0.0, 0.0, 0.09),
    (LN3, -LN4 / 2, -LN3, LN4 / 2, (0.75 - 0.225) ** 2 + (0.8 - 0.225) ** 2),
    (LN4, -LN3 / 2, LN3, -LN4 / 2, 0.025**2 + 0.025**2),
]


@pytest.mark.parametrize(("mask", "sdf", "teacher_mask", "teacher_sdf", "expected"), FOLLOWED)
def test_heads_follow_teacher_by_hand(mask, sdf, teacher_mask, teacher_sdf, expected):
    student, teacher = output(mask, sdf), Recorder(teacher_mask, teacher_sdf)
    loss = HeadsFollowTeacher(teacher, k=2.0)(student, IMAGE, 0)
    loss.backward()
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert student.mask.grad is not None
    assert student.sdf.grad is not None
    assert teacher.answer.mask.grad is None
    assert teacher.answer.sdf.grad is None


BUILDERS = [
    lambda teacher, noise: TeacherAgrees(teacher, TeacherConsistencyLoss(), noise=noise),
    lambda teacher, noise: HeadsFollowTeacher(teacher, k=20.0, noise=noise),
]


def student_of(size):
    return DualTaskOutput(torch.zeros(2, 1, size, size), torch.zeros(2, 1, size, size), [])


@pytest.mark.parametrize("build", BUILDERS)
def test_the_teacher_sees_noise_of_the_given_strength(build):
    image = torch.full((2, 1, 64, 64), 5.0)
    teacher = Recorder()
    teacher.answer = student_of(64)
    build(teacher, 0.05)(student_of(64), image, 0)
    assert (teacher.shown - image).std().item() == pytest.approx(0.05, rel=0.1)
    assert (image == 5).all()


@pytest.mark.parametrize("build", BUILDERS)
def test_the_noise_is_seeded_with_torch(build):
    shown = []
    for _ in range(2):
        teacher = Recorder()
        torch.manual_seed(3)
        build(teacher, 0.1)(student_of(3), IMAGE, 0)
        shown.append(teacher.shown)
    assert torch.equal(*shown)


def test_the_noise_is_limited():
    teacher = Recorder()
    TeacherAgrees(teacher, TeacherConsistencyLoss(), noise=10.0, noise_limit=0.2)(student_of(3), IMAGE, 0)
    assert teacher.shown.abs().max().item() == pytest.approx(0.2)


@pytest.mark.parametrize("build", BUILDERS)
def test_a_real_teacher_is_left_as_it_is(build):
    """No gradient reaches it, and in evaluation mode its running statistics stay."""
    student, teacher = (DualTaskVNet(2, 1, 1, filters=2) for _ in range(2))
    teacher.eval()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    image = torch.randn(2, 1, 32, 32)
    build(teacher, 0.1)(student(image), image, 0).backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert student.mask_head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("build", BUILDERS)
def test_labelled_samples_are_left_alone(build):
    student, teacher = output(LN3, -0.3), Recorder(-LN3, 0.3)
    teacher.answer = DualTaskOutput(teacher.answer.mask[:1], teacher.answer.sdf[:1], [])
    build(teacher, 0.1)(student, IMAGE, 1).backward()
    assert teacher.shown.shape[0] == 1
    assert (student.mask.grad[0] == 0).all()
    assert student.mask.grad[1].abs().min() > 0


@pytest.mark.parametrize("build", BUILDERS)
def test_nothing_to_compare_without_unlabelled_samples(build):
    teacher = Recorder()
    assert build(teacher, 0.1)(output(LN3, 0.0), IMAGE, 2).item() == 0
    assert teacher.shown is None


@pytest.mark.parametrize("build", BUILDERS)
def test_the_teacher_does_not_depend_on_its_running_statistics(build):
    """Those of an average of weights belong to no network."""
    torch.manual_seed(0)
    student, teacher = (DualTaskVNet(2, 1, 1, filters=2) for _ in range(2))
    image = torch.randn(4, 1, 32, 32)
    losses = []
    for mean in (0.0, 5.0):
        for name, buffer in teacher.eval().named_buffers():
            if name.endswith("running_mean"):
                buffer.fill_(mean)
        torch.manual_seed(1)
        losses.append(build(teacher, 0.1)(student.eval()(image), image, 2).item())
    assert losses[0] == losses[1]

"""Every form of the exported network gives the source network's probabilities, for batches and images of any size."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from networks.nets import DualTaskVNet, LRASPPMobileNet, SoftmaxPredictor
from networks.nets.dual_task_predictor import DualTaskPredictor
from networks.nets.padded_network import PaddedNetwork
from networks.nets.upscaled_network import UpscaledNetwork
from pipelines.export import weight_forms
from pipelines.export.weight_forms import (
    EXPORTED_PROGRAM,
    ONNX,
    TORCHSCRIPT,
    allowed_difference,
    check_onnx_packages,
    largest_difference,
    plain_form,
    proof_images,
    size_divisor,
)
from transforms.io.input_error import InputError

TEXTS = {"metadata.json": {"version": "0.1.0", "name": "böhmen"}, "inference.json": {"device": "cpu"}}
# No side a multiple of 16, then mixed ones, one window, and a flat image.
SIZES = {
    3: [(2, 37, 29, 23), (1, 16, 48, 33), (3, 32, 32, 32), (1, 5, 48, 17), (1, 16, 16, 16)],
    2: [(2, 37, 29), (1, 48, 17), (3, 1, 64)],
}


def network(dims: int, head: str, classes: int = 2, norm: object = "batch") -> DualTaskPredictor:
    torch.manual_seed(1)
    body = DualTaskVNet(dims, 2, classes, filters=2, norm=norm)
    with torch.no_grad():
        for name, buffer in body.named_buffers():  # a network that has seen data
            if name.endswith("running_mean"):
                buffer.normal_()
    return DualTaskPredictor(body, k=20.0, head=head).eval()


@pytest.fixture(scope="module", autouse=True)
def no_trace():
    """pytest's log capture makes torch.export write down every step that it takes, which is most of its time."""
    logger = logging.getLogger("torch.__trace")
    logger.disabled = True
    yield
    logger.disabled = False


@pytest.fixture(scope="module", params=["model.ts", "model.onnx", pytest.param("model.pt2", marks=pytest.mark.slow)])
def written(request, tmp_path_factory):
    """Each form of a 3D network with two classes, whose probabilities come from both heads."""
    form = {form.file: form for form in (TORCHSCRIPT, ONNX, EXPORTED_PROGRAM)}[request.param]
    source, path = network(3, "mean"), tmp_path_factory.mktemp("forms") / form.file
    form.save(source, path, torch.zeros(1, 2, 32, 32, 32), TEXTS)
    return form, source, path, form.load(path)


@pytest.mark.parametrize("size", SIZES[3])
def test_batches_and_sizes_are_free(written, size):
    form, source, _, computation = written
    batch, *sides = size
    assert largest_difference(source, computation, [torch.randn(batch, 2, *sides)]) <= form.tolerance


def test_the_comparison_is_worth_something(written):
    assert largest_difference(network(3, "mask"), written[3], [torch.randn(1, 2, 32, 20, 32)]) > 0.01


def test_metadata_and_configuration_are_inside(written):
    form, _, path, _ = written
    if form is ONNX:
        import onnx

        stored = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    else:
        with zipfile.ZipFile(path) as archive:
            stored = {
                name.split("/")[-1]: archive.read(name).decode() for name in archive.namelist() if ".json" in name
            }
    for name, text in TEXTS.items():
        assert text.items() <= json.loads(stored[name]).items()


@pytest.mark.parametrize(
    ("form", "norm"),
    [
        pytest.param(ONNX, ("instance", {"affine": True}), id="onnx-instance"),
        pytest.param(EXPORTED_PROGRAM, "batch", id="pt2-batch", marks=pytest.mark.slow),
        pytest.param(EXPORTED_PROGRAM, ("instance", {"affine": True}), id="pt2-instance", marks=pytest.mark.slow),
    ],
)
def test_planar_images(form, norm, tmp_path):
    source = network(2, "mask", classes=1, norm=norm)
    form.save(source, tmp_path / form.file, torch.zeros(1, 2, 32, 32), TEXTS)
    computation = form.load(tmp_path / form.file)
    images = [torch.randn(batch, 2, *sides) for batch, *sides in SIZES[2]]
    assert largest_difference(source, computation, images) <= form.tolerance


def light_network() -> SoftmaxPredictor:
    """Of any size, with a mean over the image: padding would show."""
    network = LRASPPMobileNet(2, 2, 3, "published_3d", norm="batch")
    for _ in range(2):
        network(torch.randn(2, 2, 32, 32))
    return SoftmaxPredictor(network).eval()


@pytest.mark.parametrize("factor", [1.0, 1.5])
@pytest.mark.parametrize("form", [ONNX, pytest.param(EXPORTED_PROGRAM, marks=pytest.mark.slow)], ids=["onnx", "pt2"])
def test_a_network_that_needs_no_padding(form, factor, tmp_path):
    source = light_network()
    source.network = UpscaledNetwork(source.network, factor)
    form.save(source, tmp_path / form.file, torch.zeros(1, 2, 32, 32), TEXTS)
    images = [torch.randn(batch, 2, *sides) for batch, *sides in SIZES[2]]
    assert largest_difference(source, form.load(tmp_path / form.file), images) <= 1e-5
    assert largest_difference(source, PaddedNetwork(source, 16), images) > 1e-3


def test_its_weights_by_name_are_for_multiples_of_16(tmp_path):
    source = light_network()
    form, expression = plain_form(source, (32, 48))
    assert expression.startswith("torch.nn.Sequential(")
    assert not form.any_size
    images = proof_images((32, 48), 2, any_size=False)
    assert all(side % 16 == 0 for image in images for side in image.shape[2:])
    form.save(source, tmp_path / form.file, images[0], TEXTS)
    assert largest_difference(source, form.load(tmp_path / form.file), images) <= form.tolerance
    assert plain_form(source, (32, 40)) is None
    assert plain_form(network(2, "mask"), (32, 48))[0].any_size


def test_what_sides_are_padded_to():
    assert [size_divisor(thing) for thing in (network(2, "mask"), light_network(), nn.Identity())] == [16, 1, 16]
    assert size_divisor(LRASPPMobileNet(2, 1, 2)) == 1


def test_a_small_network_by_torch_export(tmp_path):
    """As the V-Net, whose recording takes long: sides are halved and doubled again, and what came before is added."""

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.up = nn.Conv2d(2, 3, 2, stride=2), nn.ConvTranspose2d(3, 2, 2, stride=2)

        def forward(self, x):
            return torch.softmax(x + self.up(self.down(x)), dim=1)

    source = PaddedNetwork(Small())  # which sees any size
    EXPORTED_PROGRAM.save(source.network, tmp_path / "m.pt2", torch.zeros(1, 2, 32, 32), TEXTS)
    images = [torch.randn(batch, 2, *sides) for batch, *sides in SIZES[2]]
    assert largest_difference(source, EXPORTED_PROGRAM.load(tmp_path / "m.pt2"), images) <= EXPORTED_PROGRAM.tolerance


@pytest.mark.slow
@pytest.mark.parametrize("classes", [1, 2])
def test_torch_export_of_batches_and_images_of_one(classes, tmp_path):
    """Where torch would have guards: one class, one image, one voxel at the coarsest level."""
    source = network(3, "mask", classes=classes)
    EXPORTED_PROGRAM.save(source, tmp_path / "model.pt2", torch.zeros(1, 2, 32, 32, 32), TEXTS)
    images = [torch.randn(*shape) for shape in [(1, 2, 16, 9, 16), (1, 2, 33, 17, 40), (3, 2, 1, 1, 1)]]
    assert largest_difference(source, EXPORTED_PROGRAM.load(tmp_path / "model.pt2"), images) <= 1e-5


def test_onnxruntime_alone(tmp_path):
    """In a process that has neither torch nor MONAI nor this project."""
    source, path = network(2, "mask"), tmp_path / "model.onnx"
    ONNX.save(source, path, torch.zeros(1, 2, 32, 32), TEXTS)
    image = torch.randn(2, 2, 37, 18)
    np.save(tmp_path / "image.npy", image.numpy())
    code = (
        "import sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession('model.onnx', providers=['CPUExecutionProvider'])\n"
        "numpy.save('pred.npy', session.run(None, {session.get_inputs()[0].name: numpy.load('image.npy')})[0])\n"
        "assert not {'torch', 'monai', 'networks'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True, timeout=120)
    with torch.inference_mode():
        np.testing.assert_allclose(np.load(tmp_path / "pred.npy"), source(image).numpy(), rtol=0, atol=1e-5)


class Steep(nn.Module):
    """What hangs on the last digits: a sine near its zero, a thousand times over."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(1e3 * torch.sin(x + 3))


def test_what_is_allowed_grows_with_what_single_precision_costs():
    images = proof_images([32, 32], 2)
    assert allowed_difference(ONNX, network(2, "mask"), images) == ONNX.tolerance
    cost = max(float((Steep()(image) - Steep()(image.double()).float()).abs().max()) for image in images)
    assert 4 * cost > TORCHSCRIPT.tolerance
    assert allowed_difference(TORCHSCRIPT, Steep(), images) == 4 * cost


def test_missing_packages_are_named(monkeypatch):
    check_onnx_packages()
    monkeypatch.setattr(weight_forms, "find_spec", lambda name: None if name != "onnx" else object())
    with pytest.raises(InputError, match="--onnx: needs onnxscript, onnxruntime: pip install onnxscript onnxruntime"):
        check_onnx_packages()


def test_another_shape_or_no_number_is_a_fault():
    source, images = network(2, "mask"), proof_images([32, 32], 2)
    with pytest.raises(RuntimeError, match=r"it makes \(1, 2, 32, 32\), not \(1, 3, 32, 32\)"):
        largest_difference(source, lambda image: source(image)[:, :2], images)
    with pytest.raises(RuntimeError, match="not finite"):
        largest_difference(source, lambda image: source(image) * float("nan"), images)


@pytest.mark.parametrize("window", [[112, 112, 80], [32, 48, 32], [20, 20], [96, 96]])
def test_images_of_the_proof(window):
    images = proof_images(window, 3)
    assert {image.shape[0] for image in images} == {1, 2, 3}
    assert all(image.dim() == len(window) + 2 and image.shape[1] == 3 for image in images)
    assert all(side % 16 == 0 for side in images[0].shape[2:])
    assert any(side % 16 for side in images[1].shape[2:])
    assert max(max(image.shape) for image in images) <= 51
    assert all(torch.equal(a, b) for a, b in zip(images, proof_images(window, 3), strict=True))

"""The forms in which a trained network leaves: TorchScript, ONNX and torch.export, for any batch and image size."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from networks.nets.dual_task_vnet import SIZE_DIVISOR
from networks.nets.padded_network import PaddedNetwork
from pipelines.export.plain_network import network_expression, plain_predictor, takes_windows
from pipelines.prediction.class_predictor import ClassPredictor
from transforms.io.input_error import InputError

# Another program takes sums in another order: what comes of it is as large as what single precision costs the network
# itself, give or take this factor.
ROUNDING_FACTOR = 4.0
OPSET = 17
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
AXES = "HWD"

Computation = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class WeightForm:
    """A form of the exported network.

    Attributes:
        file: its name in ``models/``.
        title: what people call it.
        tolerance: how far its probabilities may be from the source network's, where rounding alone sets them apart.
        save: writes it; takes the network, the file, an image batch (B, C, H, W[, D]) to record with and the texts
            that go into the file, by name.
        load: reads it again, as something to compute with.
        any_size: whether images of sides that are no multiples of 16 give the same too.
    """

    file: str
    title: str
    tolerance: float
    save: Callable[[Any, Path, torch.Tensor, Mapping[str, Any]], None]
    load: Callable[[Path], Computation]
    any_size: bool = True


def plain_form(predictor: ClassPredictor, window: Sequence[int]) -> tuple[WeightForm, str] | None:
    """Give the form in which weights are kept by name, for a network of torch's and MONAI's own modules.

    Args:
        predictor: of the trained network.
        window: sides of the windows that it will see.

    Returns:
        The form, and the expression that builds the network; None where there is no such network, or its windows would
        need padding, which it does not do.
    """
    if not takes_windows(window):
        return None
    try:
        expression = network_expression(plain_predictor(predictor))
    except ValueError:
        return None

    divisor = size_divisor(predictor)

    def save(network: ClassPredictor, path: Path, example: torch.Tensor, texts: Mapping[str, Any]) -> None:
        torch.save(plain_predictor(network).state_dict(), path)

    def load(path: Path) -> Computation:
        from monai.bundle import ConfigParser

        network = ConfigParser(f"${expression}").get_parsed_content()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
        return PaddedNetwork(network, divisor).eval()

    return WeightForm("model.pt", "state_dict", 1e-5, save, load, any_size=divisor == SIZE_DIVISOR), expression


def size_divisor(network: nn.Module) -> int:
    """Give what a network, or the one in a predictor, pads the sides of images to multiples of; 16 where it says
    nothing."""
    return int(getattr(getattr(network, "network", network), "size_divisor", SIZE_DIVISOR))


def check_onnx_packages() -> None:
    """Refuse the ONNX form where what writes and runs it is missing.

    Raises:
        InputError: naming the packages to install.
    """
    missing = [name for name in ONNX_PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError("--onnx", f"needs {', '.join(missing)}: pip install {' '.join(missing)}")


def save_torchscript(network: nn.Module, path: Path, example: torch.Tensor, texts: Mapping[str, Any]) -> None:
    """Write TorchScript with ``metadata.json`` and the other texts inside it, where MONAI's tools look for them.

    The file must keep its name: the archive in it is called by it, and is looked up by it.
    """
    from monai.data import save_net_with_metadata

    others = {name: json.dumps(text, indent=2).encode() for name, text in texts.items() if name != "metadata.json"}
    with _quiet():
        save_net_with_metadata(
            torch.jit.script(network),
            str(path),
            include_config_vals=False,
            append_timestamp=False,
            meta_values=dict(texts["metadata.json"]),
            more_extra_files=others,
        )


def load_torchscript(path: Path) -> Computation:
    """Read TorchScript."""
    with _quiet():
        loaded: Computation = torch.jit.load(str(path), map_location="cpu").eval()
    return loaded


def save_onnx(network: nn.Module, path: Path, example: torch.Tensor, texts: Mapping[str, Any]) -> None:
    """Write ONNX whose batch and sides are free, ``image`` in and ``pred`` out; the texts go in as its properties.

    The older of torch's two exporters writes it: of the newer one's graphs the sides are fixed.
    """
    import onnx

    axes = {0: "batch", **{axis: AXES[axis - 2] for axis in range(2, example.dim())}}
    with _quiet(), torch.inference_mode():
        torch.onnx.export(
            PaddedNetwork(network, size_divisor(network)).eval(),
            (_recording_size(example),),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["pred"],
            dynamic_axes={"image": axes, "pred": axes},
        )
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    onnx.helper.set_model_props(model, {name: json.dumps(text) for name, text in texts.items()})
    path.write_bytes(model.SerializeToString())


def load_onnx(path: Path) -> Computation:
    """Read ONNX, to be computed by onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(["pred"], {"image": image.numpy()})[0])


def save_exported_program(network: nn.Module, path: Path, example: torch.Tensor, texts: Mapping[str, Any]) -> None:
    """Write what ``torch.export`` records, with the texts inside. Batch and sides are free."""
    # torch.export has no option of its own for sizes that are never taken for 0 or 1.
    symbolic_shapes: Any = import_module("torch.fx.experimental._config")
    free = {axis: torch.export.Dim.DYNAMIC for axis in (0, *range(2, example.dim()))}
    with _quiet(), torch.no_grad(), symbolic_shapes.patch(backed_size_oblivious=True):
        padded = PaddedNetwork(network, size_divisor(network)).eval()
        program = torch.export.export(padded, (_uneven(example),), dynamic_shapes=(free,))
        torch.export.save(program, path, extra_files={name: json.dumps(text) for name, text in texts.items()})


def load_exported_program(path: Path) -> Computation:
    """Read what ``torch.export`` has recorded.

    Of some networks its guards refuse batches of one, or volumes that are one voxel at the coarsest level: these lie in
    memory as others do not. What is computed is the same, so the guards are left out.
    """
    with _quiet():
        loaded: Computation = torch.export.load(path).module(check_guards=False)
    return loaded


def largest_difference(network: nn.Module, computation: Computation, images: Sequence[torch.Tensor]) -> float:
    """Give the worst difference between a form's probabilities and the source network's over all ``images``.

    Raises:
        RuntimeError: when the form gives another shape, or a number that is none.
    """
    worst = 0.0
    with _quiet(), torch.inference_mode():
        for image in images:
            ours, theirs = network(image), computation(image)
            if theirs.shape != ours.shape:
                raise RuntimeError(
                    f"of images {tuple(image.shape)} it makes {tuple(theirs.shape)}, not {tuple(ours.shape)}"
                )
            if not bool(torch.isfinite(theirs).all()):
                raise RuntimeError(f"of images {tuple(image.shape)} it makes numbers that are not finite")
            worst = max(worst, float((theirs - ours).abs().max()))
    return worst


def allowed_difference(form: WeightForm, network: nn.Module, images: Sequence[torch.Tensor]) -> float:
    """Give how far a form may be from the network: as a rule its tolerance.

    A network whose numbers hang on the last digits, as steep level sets or barely trained norms make it, is allowed
    ``ROUNDING_FACTOR`` times what it differs by from itself in double precision.
    """
    exact = copy.deepcopy(network).double()
    rounding = largest_difference(network, lambda image: exact(image.double()).float(), images)
    return max(form.tolerance, ROUNDING_FACTOR * rounding)


def proof_images(window: Sequence[int], channels: int, seed: int = 0, any_size: bool = True) -> list[torch.Tensor]:
    """Give noise (B, C, H, W[, D]) in several sizes: a window (no side above 48), uneven images, flat ones; without
    ``any_size`` all sides are multiples of 16.
    """
    random = torch.Generator().manual_seed(seed)
    sides = [min(side, 48) for side in window]
    shapes = [
        (1, channels, *map(_rounded_up, sides)),
        (2, channels, *(side + 3 for side in sides)),
        (3, channels, 5, *(side // 2 + 17 for side in sides[1:])),
    ]
    if not any_size:
        shapes = [(batch, channels, *map(_rounded_up, sides)) for batch, _, *sides in shapes]
    return [torch.randn(*shape, generator=random) for shape in shapes]


def _rounded_up(side: int) -> int:
    return -(-side // SIZE_DIVISOR) * SIZE_DIVISOR


def _recording_size(example: torch.Tensor) -> torch.Tensor:
    """Give an image whose sides are multiples of the divisor, so that the network in the graph has nothing to pad."""
    return torch.zeros(2, example.shape[1], *[32] * (example.dim() - 2))


def _uneven(example: torch.Tensor) -> torch.Tensor:
    """Give an image no two of whose sizes are the same, lest torch takes them for one."""
    return torch.zeros(2, example.shape[1], *[37, 29, 51][: example.dim() - 2])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep quiet what torch says of TorchScript's age and of traced sizes: both are as they are meant to be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# onnxruntime has its own sums; of instance norms over few voxels they show.
TORCHSCRIPT = WeightForm("model.ts", "TorchScript", 1e-5, save_torchscript, load_torchscript)
ONNX = WeightForm("model.onnx", "ONNX", 1e-4, save_onnx, load_onnx)
EXPORTED_PROGRAM = WeightForm("model.pt2", "torch.export", 1e-5, save_exported_program, load_exported_program)
OPTIONAL_FORMS = {"onnx": ONNX, "pt2": EXPORTED_PROGRAM}

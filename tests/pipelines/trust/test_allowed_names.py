"""The lists of names: everything in them is there, is what it says, and MONAI finds the same under the short name."""

from __future__ import annotations

import inspect
from pydoc import locate

import monai.bundle  # noqa: F401  loads every module that MONAI looks names up in
import pytest
from monai.bundle.config_item import ComponentLocator

import networks.losses
import networks.nets
import transforms
from pipelines.trust import allowed_names

TABLES = {**allowed_names.INFERENCE_NAMES, **allowed_names.WORKFLOW_NAMES, **allowed_names.CHECKED_NAMES}
# What loads modules by name, downloads, unpickles, writes, or runs whatever it is given.
HARMFUL = [
    *("monai.bundle.run", "monai.bundle.load", "monai.bundle.ConfigParser", "monai.utils.module.instantiate"),
    *(
        "monai.utils.optional_import",
        "monai.apps.download_url",
        "monai.apps.utils.extractall",
        "monai.losses.PerceptualLoss",
    ),
    *("monai.data.PersistentDataset", "monai.data.load_net_with_metadata", "monai.data.save_net_with_metadata"),
    *("monai.handlers.CheckpointSaver", "monai.handlers.LogfileHandler", "monai.handlers.TensorBoardStatsHandler"),
    *("monai.networks.nets.HoVerNet", "monai.networks.nets.resnet50", "monai.networks.nets.DenseNet121"),
    *(
        "monai.transforms.TorchVision",
        "monai.transforms.TorchIOd",
        "monai.transforms.CuCIM",
        "monai.transforms.SaveImage",
    ),
    *("monai.transforms.LoadImaged", "monai.transforms.WriteFileMapping", "monai.transforms.SaveClassificationd"),
    *("torch.load", "torch.save", "torch.jit.load", "torch.hub.load", "torch.ops.load_library", "torch.from_file"),
    *(
        "torch.serialization.load",
        "torch.classes.load_library",
        "torch.package.PackageImporter",
        "torch.multiprocessing.spawn",
    ),
    *(
        "torch.utils.cpp_extension.load_inline",
        "torch.distributed.init_process_group",
        "torch.nn.functional.boolean_dispatch",
    ),
    *(
        "numpy.load",
        "numpy.save",
        "numpy.fromfile",
        "numpy.memmap",
        "numpy.genfromtxt",
        "numpy.vectorize",
        "numpy.f2py",
    ),
    *("os.system", "os.popen", "os.remove", "os.environ", "os.path.os", "glob.os", "math.factorial", "builtins.eval"),
    *("pipelines.workflow.run_stage", "transforms.io.atomic.write_text_atomic", "networks.nets.dual_task_vnet.nn"),
]


@pytest.fixture(scope="module")
def locator():
    return ComponentLocator()


def test_every_name_is_where_it_is_said_to_be(locator):
    wrong = []
    for name, dotted in TABLES.items():
        found, modules = locate(dotted), locator.get_component_module_name(name)
        if isinstance(modules, list):
            # MONAI takes the first of several: any of them must do.
            package = dotted.rpartition(".")[0]
            right = all(
                module.startswith(package) and inspect.isclass(locate(f"{module}.{name}")) for module in modules
            )
        else:
            # Some variants are made by assignment, and found by their dotted path alone.
            right = modules is None or locate(f"{modules}.{name}") is found
        if found is None or not right:
            wrong.append((name, modules))
    assert not wrong


def test_every_free_function_exists():
    names = [name for name in allowed_names._FREE if not name.startswith("monai.")]
    assert len(names) > 150
    assert not [name for name in names if locate(name) is None and name != "numpy.newaxis"]


@pytest.mark.parametrize("name", HARMFUL)
def test_what_does_harm_is_not_free(name):
    assert not allowed_names.is_free(name)
    assert not allowed_names.is_for_inference(name)
    assert name not in allowed_names.MODULES


def test_no_module_is_a_value():
    assert not [name for name in allowed_names.MODULES if allowed_names.is_free(name)]


@pytest.mark.parametrize("package", [networks.nets, networks.losses, transforms])
def test_our_packages_give_our_classes_alone_by_capital_letters(package):
    classes = [name for name in package.__all__ if name[:1].isupper()]
    assert {name for name in vars(package) if name[:1].isupper()} <= set(classes)
    for name in classes:
        assert inspect.isclass(getattr(package, name))
        assert allowed_names.is_for_inference(f"{package.__name__}.{name}")


FULL = {
    "Spacingd": "monai.transforms.Spacingd",
    "SpacingDict": "monai.transforms.SpacingDict",
    "monai.transforms.spatial.dictionary.Spacingd": "monai.transforms.Spacingd",
    "monai.networks.nets.unet.UNet": "monai.networks.nets.UNet",
    "monai.transforms.io.array.SaveImage": "monai.transforms.SaveImage",
    "LoadImaged": "monai.transforms.LoadImaged",
    "torch.nn.Conv3d": "torch.nn.Conv3d",
    "system": "system",
    "monai.transforms.Os.System.Flip": "monai.transforms.Os.System.Flip",
}


@pytest.mark.parametrize(("target", "dotted"), FULL.items())
def test_full_names(target, dotted):
    assert allowed_names.full_name(target) == dotted

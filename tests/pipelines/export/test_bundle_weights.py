"""Weight files that are damaged, exchanged, renamed or of another network are told apart from good ones."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from copy import deepcopy

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import save_net_with_metadata

from pipelines.export.bundle_weights import (
    archive_faults,
    fake_side,
    hash_faults,
    network_faults,
    weight_faults,
    weight_files,
)
from tests.pipelines.export.tiny_bundle import INFERENCE, METADATA, write_bundle, write_config


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("made"))


@pytest.fixture
def bundle(made, tmp_path):
    return shutil.copytree(made, tmp_path / made.name)


def reasons(findings):
    return [finding.reason for finding in findings]


def test_a_good_bundle(made):
    assert [file.name for file in weight_files(made)] == ["model.pt", "model.ts"]
    assert hash_faults(made) == archive_faults(made) == weight_faults(made) == []
    assert network_faults(made, INFERENCE, METADATA) == []


def test_a_changed_file_has_another_hash(bundle):
    with (bundle / "models" / "model.pt").open("ab") as file:
        file.write(b"x")
    findings = hash_faults(bundle)
    assert {finding.file.name for finding in findings} == {"model.pt"}
    assert [reason.rpartition("docs/")[2] for reason in reasons(findings)] == ["proof.json tells", "README.md tells"]


def test_a_file_of_which_nothing_is_told_and_one_that_is_gone(bundle):
    (bundle / "models" / "model.pt").rename(bundle / "models" / "model.onnx")
    told = reasons(hash_faults(bundle))
    assert sum("tells no SHA-256 of models/model.onnx" in reason for reason in told) == 2
    assert sum("model.pt', which is not there" in reason for reason in told) == 2


def test_no_hashes_no_faults(bundle):
    shutil.rmtree(bundle / "docs")
    assert hash_faults(bundle) == []


def test_a_renamed_archive(bundle):
    (bundle / "models" / "model.ts").unlink()
    network = torch.jit.script(torch.nn.Conv3d(1, 2, 1))
    torch.jit.save(network, str(bundle / "models" / "other.ts"))
    (bundle / "models" / "other.ts").rename(bundle / "models" / "model.ts")
    assert "was saved as 'other' and renamed" in reasons(archive_faults(bundle))[0]


def test_an_archive_without_configurations(bundle):
    torch.jit.save(torch.jit.script(torch.nn.Conv3d(1, 2, 1)), str(bundle / "models" / "model.ts"))
    assert reasons(archive_faults(bundle)) == ["carries no metadata.json", "carries no inference.json"]


def test_an_archive_with_another_configuration(bundle):
    write_config(bundle, "inference", INFERENCE | {"bundle_root": "elsewhere"})
    assert reasons(archive_faults(bundle)) == ["carries another inference.json than configs/inference.json"]


def test_what_is_no_archive(bundle):
    (bundle / "models" / "model.ts").write_bytes(b"nothing")
    assert "is no readable archive" in reasons(archive_faults(bundle))[0]
    assert "does not load" in reasons(weight_faults(bundle))[0]


def test_nested_weights(bundle):
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    torch.save({"model": state}, bundle / "models" / "model.pt")
    assert "is no flat state_dict" in reasons(weight_faults(bundle))[0]


def test_weights_with_code(bundle):
    torch.save(torch.nn.Conv3d(1, 2, 1), bundle / "models" / "model.pt")
    assert "does not load" in reasons(weight_faults(bundle))[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(bundle, value):
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    name = next(iter(state))
    state[name].view(-1)[0] = value
    torch.save(state, bundle / "models" / "model.pt")
    assert reasons(weight_faults(bundle)) == [
        f"{name} holds NaN or infinity",
        f"holds other weights than model.pt: 1 tensors, first '{name}'",
    ]


def metadata_with(group, name, **changes):
    metadata = deepcopy(METADATA)
    metadata["network_data_format"][group][name] |= changes
    return metadata


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"num_channels": 3}, "says 3 channels, the network gives 2"),
        ({"dtype": "int64"}, "says int64, the network gives float32"),
        ({"value_range": [5, 6]}, "says values in [5, 6], the network gives"),
    ],
)
def test_what_the_network_gives(made, changes, told):
    found = reasons(network_faults(made, INFERENCE, metadata_with("outputs", "pred", **changes)))
    assert len(found) == 1
    assert told in found[0]


def test_a_network_that_does_not_take_the_image(made):
    findings = network_faults(made, INFERENCE, metadata_with("inputs", "image", num_channels=4))
    assert findings[0].id == "network_def"
    assert "does not run on an image of [32, 32, 32] voxels" in findings[0].reason


def test_weights_of_another_network(made):
    inference = INFERENCE | {"network_def": INFERENCE["network_def"] | {"channels": [2, 4, 4]}}
    assert "does not run" in reasons(network_faults(made, inference, METADATA))[0]


def test_two_files_whose_weights_have_other_names(bundle):
    """As of a network that is written otherwise in TorchScript than by its parts."""
    network = ConfigParser(INFERENCE).get_parsed_content("network_def")
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    for factor in (1.0, 2.0):
        with torch.no_grad():
            [*network.parameters()][-1].mul_(factor)
        scripted = torch.jit.script(torch.nn.Sequential(network).eval())
        save_net_with_metadata(scripted, str(bundle / "models" / "model.ts"), append_timestamp=False)
        assert weight_faults(bundle) == []
        told = ["gives something else than network_def with model.pt"] if factor == 2 else []
        assert reasons(network_faults(bundle, INFERENCE, METADATA)) == told


def test_a_network_that_torchscript_does_not_take(bundle):
    (bundle / "models" / "model.ts").unlink()
    (bundle / "models" / "model.pt").unlink()
    inference = INFERENCE | {"network_def": {"_target_": "torch.nn.LazyConv3d", "out_channels": 2, "kernel_size": 1}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "does not run" in reasons(network_faults(bundle, inference, METADATA))[0]


@pytest.mark.parametrize(
    ("entry", "side"),
    [(17, 17), ("*", 32), ("16*n", 32), ("32*n", 32), ("48*n", 48), ("n", 32), ("2**p", 32), ("3**p*n", 27)],
)
def test_sides_of_the_fake_image(entry, side):
    assert fake_side(entry) == side


def test_an_archive_that_is_cut_off(bundle):
    file = bundle / "models" / "model.ts"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert not zipfile.is_zipfile(file)
    assert "is no readable archive" in reasons(archive_faults(bundle))[0]

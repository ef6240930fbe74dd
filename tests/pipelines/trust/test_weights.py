"""Weights from strangers: whole, as their hashes say, of the right shapes, finite."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from pipelines.trust.weights import check_bundle_weights, check_finite, check_weight_file, load_state, told_hashes
from transforms.io.input_error import InputError


@pytest.fixture
def bundle(smoke_run, tmp_path):
    return Path(shutil.copytree(smoke_run.bundle, tmp_path / "bundle"))


def flip(file, place=None):
    content = bytearray(file.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    file.write_bytes(content)


def test_our_own_bundle_passes(smoke_run):
    check_bundle_weights(smoke_run.bundle)
    assert set(told_hashes(smoke_run.bundle)) >= {"model.pt", "model.ts"}


@pytest.mark.parametrize("name", ["model.pt", "model.ts"])
@pytest.mark.parametrize("told_by", ["proof.json", "README.md", "nothing"])
def test_changed_weights_are_refused(bundle, name, told_by):
    for file in {"proof.json", "README.md"} - {told_by}:
        (bundle / "docs" / file).unlink()
    check_bundle_weights(bundle)
    flip(bundle / "models" / name)
    # Without a hash, the checksums in the archive still tell.
    reason = r"is damaged: its member" if told_by == "nothing" else "was changed after the bundle was made"
    with pytest.raises(InputError, match=rf"models/{name}.* {reason}"):
        check_bundle_weights(bundle)


def test_other_whole_weights_are_refused(bundle):
    torch.save({"a": torch.zeros(1)}, bundle / "models" / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt: has the SHA-256 [0-9a-f]{64}, but the bundle says"):
        check_bundle_weights(bundle)


def test_weights_that_are_gone(bundle):
    (bundle / "models" / "model.pt").unlink()
    with pytest.raises(InputError, match=r"model\.pt: is missing, though the bundle tells its hash"):
        check_bundle_weights(bundle)


PROOFS = {
    "no JSON": "{",
    "a list": "[]",
    "hashes in a list": '{"sha256": []}',
    "no hash": '{"sha256": {"model.pt": "12"}}',
    "elsewhere": json.dumps({"sha256": {"../x": "0" * 64}}),
}


@pytest.mark.parametrize("text", PROOFS.values(), ids=PROOFS.keys())
def test_proofs_that_tell_nothing(bundle, text):
    (bundle / "docs" / "proof.json").write_text(text)
    with pytest.raises(InputError, match=r"proof\.json: (cannot be read|tells no SHA-256)"):
        check_bundle_weights(bundle)


def test_a_bundle_that_tells_no_hash(bundle):
    (bundle / "docs" / "README.md").write_text("A model.")
    (bundle / "docs" / "proof.json").unlink()
    assert told_hashes(bundle) == {}
    check_bundle_weights(bundle)


def test_weights_anywhere_in_the_bundle_are_checked(bundle):
    (bundle / "other").mkdir()
    (bundle / "other" / "x.pth").write_bytes(b"\x80\x02.")
    with pytest.raises(InputError, match=r"x\.pth: is no zip archive of weights"):
        check_bundle_weights(bundle)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_code_may_be_any_when_it_is_trusted(tmp_path):
    class Maps(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.from_file("/tmp/marker", True, 8)

    torch.jit.save(torch.jit.script(Maps()), str(tmp_path / "model.ts"))
    with pytest.raises(InputError, match="aten::from_file"):
        check_weight_file(tmp_path / "model.ts")
    check_weight_file(tmp_path / "model.ts", code_trusted=True)


def network():
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))


@pytest.mark.parametrize("key", [None, "model", "state_dict"])
def test_weights_of_a_network(tmp_path, key):
    source, target = network(), network()
    state = source.state_dict()
    torch.save(state if key is None else {key: state}, tmp_path / "model.pt")
    load_state(target, tmp_path / "model.pt")
    for name, value in target.state_dict().items():
        assert torch.equal(value, state[name])


def without_one(state):
    del state["0.bias"]


def with_one_more(state):
    state["2.weight"] = torch.zeros(1)


def of_another_shape(state):
    state["0.weight"] = torch.zeros(2, 1, 5, 5)


def with_nan(state):
    state["1.running_mean"][1] = torch.nan


def with_infinity(state):
    state["0.bias"][0] = -torch.inf


SPOILED = {
    without_one: "lacks the tensor 0.bias",
    with_one_more: "has the tensor 2.weight, which",
    of_another_shape: r"has 0.weight of shape \(2, 1, 5, 5\), but the network's is \(2, 1, 3, 3\)",
    with_nan: r"holds NaN or infinite weights \(1.running_mean\)",
    with_infinity: r"holds NaN or infinite weights \(0.bias\)",
}


@pytest.mark.parametrize(("spoil", "reason"), SPOILED.items(), ids=[spoil.__name__ for spoil in SPOILED])
def test_weights_that_are_refused(tmp_path, spoil, reason):
    state = network().state_dict()
    spoil(state)
    torch.save(state, tmp_path / "model.pt")
    target = network()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(InputError, match=rf"model\.pt: {reason}"):
        load_state(target, tmp_path / "model.pt")
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"model": {"a": "x"}}, torch.zeros(1)], ids=str)
def test_other_things_than_weights(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(InputError, match="something else than named tensors"):
        load_state(network(), tmp_path / "model.pt")


class Evil:
    def __init__(self, marker) -> None:
        self.marker = marker

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_code_is_not_run(tmp_path, legacy):
    marker, file = tmp_path / "marker", tmp_path / "model.pt"
    if legacy:
        file.write_bytes(pickle.dumps({"a": Evil(marker)}))
    else:
        torch.save({"a": Evil(marker)}, file)
    with pytest.raises(InputError, match="no plain weights|no zip archive"):
        load_state(network(), file)
    assert not marker.exists()
    if not legacy:
        torch.load(file, weights_only=False)
        assert marker.exists()


def test_compressed_bombs(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("model/data.pkl", bytes(2**24))
    with pytest.raises(InputError, match="unusual way"):
        check_weight_file(tmp_path / "model.pt")


def test_integers_are_finite():
    check_finite([("a", torch.ones(3, dtype=torch.int64)), ("b", torch.ones(0))], Path("x"))

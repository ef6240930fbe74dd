"""TorchScript from strangers: arithmetic passes, files, processes and memory do not."""

from __future__ import annotations

import pickle
import shutil
import warnings
import zipfile

import pytest
import torch

from pipelines.trust.torchscript import check_torchscript, fault_of_code
from transforms.io.input_error import InputError


class Harmless(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.InstanceNorm3d(4), torch.nn.PReLU(), torch.nn.Conv3d(4, 2, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.nn.functional.interpolate(self.layers(x), scale_factor=2.0, mode="trilinear")
        return torch.einsum("bcdhw->bcdhw", torch.nn.functional.pad(y, [1, 1], mode="constant")).softmax(1)


class Maps(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_file("/tmp/marker", True, 8)


class LooksIntoMemory(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.as_strided([1000], [1], 100)


def script(module, file):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), str(file), {"metadata.json": b"{}"})
    return file


def changed(file, change):
    """Rewrite the members of an archive: ``change`` gives the new content, None leaves one out."""
    source = file.with_suffix(".old")
    shutil.move(file, source)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return file


def test_networks_pass(tmp_path):
    check_torchscript(script(Harmless(), tmp_path / "model.ts"))
    torch.save(Harmless().state_dict(), tmp_path / "model.pt")
    check_torchscript(tmp_path / "model.pt")


def test_our_own_export_passes(smoke_run):
    check_torchscript(smoke_run.bundle / "models" / "model.ts")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Maps, "aten::from_file"), (LooksIntoMemory, "aten::as_strided")],
)
def test_harmful_networks_are_refused(tmp_path, kind, reason):
    file = script(kind(), tmp_path / "model.ts")
    with pytest.raises(InputError, match=rf"model\.ts: code/.*\.py uses the operator {reason}"):
        check_torchscript(file)


def test_traced_networks_pass(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Harmless().eval(), torch.zeros(1, 1, 4, 4, 4)), str(tmp_path / "model.ts"))
    check_torchscript(tmp_path / "model.ts")


CODE = {
    "file written": "torch.save(x, 'f')",
    "file mapped": "torch.from_file('f', True, 8)",
    "as a method": "(x).save('f', )",
    "in a string": "'from_file'",
    "with spaces": "torch . \n from_file ('f')",
    "in a comment": "# \r torch.from_file('f')",
    "raw pointer": "torch.set_(x, y)",
    "unsafe": "torch._sparse_coo_tensor_unsafe(x, y)",
    "of torch's own": "torch._print('x')",
    "other namespace": "ops.inductor._alloc_from_pool(x)",
    "namespace in parts": "ops\n.c10d.send(x)",
    "namespace as a value": "a = ops",
    "other primitive": "ops.prim.RPCRemote(x)",
    "through aten": "ops.aten.from_file('f')",
    "class in C++": "__torch__.torch.classes.dist_c10d.TCPStore",
    "not ASCII": "x = 'é'",
}


@pytest.mark.parametrize("code", CODE.values(), ids=CODE.keys())
def test_code_that_is_refused(code):
    assert fault_of_code(f"def forward(self, x: Tensor) -> Tensor:\n  return {code}\n".encode()) is not None


@pytest.mark.parametrize(
    "code",
    [
        "torch.add(x, 1)",
        "torch.format('{} {}', x, 1)",
        "ops.prim.RaiseException('x', 'builtins.ValueError')",
        "torch.__isnot__(x, None)",
        "torch._convolution(x, y)",
        "(_0).forward(x, )",
        "annotate(List[Tensor], [])",
        "self.stops",
    ],
)
def test_code_that_passes(code):
    assert fault_of_code(code.encode()) is None


def test_code_put_into_an_archive(tmp_path):
    file = script(Harmless(), tmp_path / "model.ts")

    def change(name, content):
        return content + b"\n  _0 = torch.save(1, 'f')\n" if name.endswith("functional.py") else content

    with pytest.raises(InputError, match="aten::save"):
        check_torchscript(changed(file, change))


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch /tmp/marker",)


@pytest.mark.parametrize("member", ["data.pkl", "constants.pkl"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles_that_name_other_things(tmp_path, member, protocol):
    file = script(Harmless(), tmp_path / "model.ts")

    def change(name, content):
        return pickle.dumps(Evil(), protocol) if name.endswith(f"/{member}") else content

    with pytest.raises(InputError, match=rf"{member} names .*(system|STACK_GLOBAL).*, which is not allowed"):
        check_torchscript(changed(file, change))


def test_pickles_that_name_classes_in_cpp(tmp_path):
    file = script(Harmless(), tmp_path / "model.ts")

    def change(name, content):
        return b"\x80\x02c__torch__.torch.classes.dist_c10d\nTCPStore\n." if name.endswith("/data.pkl") else content

    with pytest.raises(InputError, match=r"C\+\+"):
        check_torchscript(changed(file, change))


def test_members_that_torch_does_not_write(tmp_path):
    file = script(Harmless(), tmp_path / "model.ts")
    with zipfile.ZipFile(file) as archive:
        top = archive.namelist()[0].split("/")[0]
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(f"{top}/model.json", "{}")
    with pytest.raises(InputError, match=r"member 'model\.json'"):
        check_torchscript(file)


def test_a_zip_file_that_is_none_of_torchs(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.ts", "w") as archive:
        archive.writestr("a/b.txt", "x")
    with pytest.raises(InputError):
        check_torchscript(tmp_path / "model.ts")

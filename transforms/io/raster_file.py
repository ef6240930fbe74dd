"""Pictures (PNG, JPEG, TIFF) as 2D images: rows first, the pixel as the unit of length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transforms.io.geometry import Geometry, Volume, check_finite, check_shape
from transforms.io.input_error import InputError
from transforms.io.verified_bytes import describe_content, require_readable

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
SUFFIXES = tuple(_FORMATS)
_MODES = {"1": "uint8", "L": "uint8", "I;16": "uint16", "I;16B": "uint16", "I": "int32", "F": "float32", "RGB": "uint8"}
_EXIF_ORIENTATION = 0x0112


def read_raster(path: Path) -> Volume:
    """Read a picture.

    Returns:
        Grey values ``(H, W)``, or colours ``(3, H, W)``; ``H`` counts rows. One-bit pictures have the values 0 and 1.
        The affine is the identity and the spacing 1 pixel, whatever resolution the file claims.

    Raises:
        InputError: when the file is damaged, truncated, of another format than its name says, has a palette,
            transparency or several pages, or is to be turned by its EXIF entry.
    """
    with _opened(path) as image:
        geometry = _examine(path, image)
        array = np.asarray(image.convert("RGB") if image.mode == "RGBA" else image)
    array = array.astype(geometry.dtype, copy=False)
    if array.ndim == 3:
        array = np.ascontiguousarray(np.moveaxis(array, -1, 0))
    check_finite(path, array)
    return Volume(array, geometry.affine, geometry.spacing)


def read_raster_geometry(path: Path) -> Geometry:
    """Read the grid without decoding the pixels.

    Raises:
        InputError: as ``read_raster`` does for the header.
    """
    with _opened(path, verify=False) as image:
        return _examine(path, image)


def write_raster_mask(path: Path, array: np.ndarray) -> None:
    """Write the 2D label map ``array`` ``(H, W)`` as 8 or 16 bit grey values, which are the labels.

    Raises:
        InputError: when ``array`` has another number of dimensions or the format would change the labels.
    """
    from PIL import Image

    if array.ndim != 2:
        raise InputError(path, f"cannot hold a {array.ndim}D label map; choose .nii.gz")
    if _FORMATS[path.suffix.lower()] == "JPEG":
        raise InputError(path, "cannot hold labels, since JPEG changes values; choose .png")
    Image.fromarray(np.ascontiguousarray(array.astype(np.uint8 if array.max(initial=0) < 256 else np.uint16))).save(
        path
    )


@contextmanager
def _opened(path: Path, *, verify: bool = True) -> Iterator[Image]:
    """Open the picture and turn what Pillow raises into one-line refusals."""
    from PIL import Image

    require_readable(path)
    expected = _FORMATS[path.suffix.lower()]
    try:
        if verify and expected == "PNG":
            # Decoding stops at the last row; only this looks at the checksums.
            with Image.open(path, formats=[expected]) as image:
                image.verify()
        with Image.open(path, formats=[expected]) as image:
            yield image
    except InputError:
        raise
    except Image.UnidentifiedImageError as fault:
        with path.open("rb") as source:
            content = describe_content(source.read(512))
        raise InputError(path, f"is not a readable {expected} picture: it holds {content}") from fault
    except Image.DecompressionBombError as fault:
        raise InputError(path, "has more pixels than any picture that is read") from fault
    except (OSError, SyntaxError, ValueError, EOFError) as fault:
        raise InputError(path, f"is corrupt or truncated: {str(fault).rstrip('.') or type(fault).__name__}") from fault


def _examine(path: Path, image: Image) -> Geometry:
    check_shape(path, (image.height, image.width))
    if getattr(image, "n_frames", 1) > 1:
        raise InputError(path, f"has {getattr(image, 'n_frames', 1)} pages; one picture per file is read")
    if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
        raise InputError(
            path, "is to be turned by its EXIF orientation, which its label would not follow; write it again upright"
        )
    mode = image.mode
    if mode == "RGBA":
        if image.getchannel("A").getextrema() != (255, 255):
            raise InputError(path, "has transparent pixels; write it again as RGB or grey")
        mode = "RGB"
    if mode not in _MODES:
        raise InputError(path, f"is of mode {mode}; grey values of 8 or 16 bit and RGB are read")
    return Geometry((image.height, image.width), np.eye(4), (1.0, 1.0), 3 if mode == "RGB" else 0, _MODES[mode])

"""Pillow's pixels without copying them: through the Arrow C data interface that it offers from version 11.3 on."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class ArrowArray(ctypes.Structure):
    """The head of the structure that https://arrow.apache.org/docs/format/CDataInterface.html defines."""


ArrowArray._fields_ = [
    *((name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(ArrowArray))),
]

_pointer_in = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_in.restype = ctypes.c_void_p
_pointer_in.argtypes = [ctypes.py_object, ctypes.c_char_p]


@contextmanager
def pixels_of(image: Image.Image) -> Iterator[NDArray[np.uint8]]:
    """Give an RGB image's pixels uint8 (H, W, 4), the fourth channel without meaning, or a copy (H, W, 3).

    The copy is for an older Pillow, and for images larger than one block of its memory. No view may outlive the block.
    """
    if image.mode != "RGB":
        raise ValueError(f"expected an RGB image, found {image.mode}")
    try:
        _, capsule = image.__arrow_c_array__()  # type: ignore[attr-defined,unused-ignore]
    except (AttributeError, ValueError):
        yield np.asarray(image)
        return
    array = ctypes.cast(_pointer_in(capsule, b"arrow_array"), ctypes.POINTER(ArrowArray)).contents
    address = array.children[0].contents.buffers[1]  # a list of four bytes for each pixel; buffer 0 would mark gaps
    memory = (ctypes.c_uint8 * (image.height * image.width * 4)).from_address(address)
    yield np.ctypeslib.as_array(memory).reshape(image.height, image.width, 4)
    del capsule  # which owned the memory until here

"""Variables of MATLAB files (v5 through scipy, v7.3 through h5py) and NumPy archives, looked up by their paths."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt
import scipy.io

from eeg_ingest.readers.completeness import check_hdf5
from eeg_ingest.recording import IngestError

# what SciPy, h5py and NumPy raise where bytes are not as their format says
DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    RuntimeError,  # of HDF5's own checks; NotImplementedError is one
    OverflowError,
    EOFError,
    zlib.error,
    zipfile.BadZipFile,
    scipy.io.matlab.MatReadError,
)
_NO_DATA = (scipy.io.matlab.MatlabOpaque, scipy.io.matlab.MatlabFunction, scipy.io.matlab.MatlabObject)
_HDF5_NUMBERS = {"double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}


class Value(Protocol):
    """A value of a file. `array` is a NumPy array or something that slices like one; `reversed` tells its axes."""

    def field(self, name: str) -> Value | None:
        """Return a field of a struct, None where it has no such field."""

    def items(self) -> list[Value]:
        """Return the elements of an array of structs or cells."""

    def array(self) -> Any:
        """Return the numbers, which may still lie in the file. Raises IngestError where there are none."""

    def texts(self) -> list[str] | None:
        """Return the texts of a cell or char array, None where it holds no texts."""

    @property
    def reversed(self) -> bool:
        """Whether the axes of `array` are those that the source declares, last one first."""


class Variables(Protocol):
    """The variables of an open file."""

    names: tuple[str, ...]

    def load(self, name: str) -> Value:
        """Return one variable."""


def find(variables: Variables, path: str) -> list[Value]:
    """Return the value at `path`, or the values where a part of it ends in `[]`.

    Raises IngestError that lists what is there.
    """
    head, *fields = path.split(".") if path not in variables.names else [path]
    if head.removesuffix("[]") not in variables.names:
        raise IngestError(
            f"The variable {head.removesuffix('[]')!r} is not in the file: expected one of "
            f"{', '.join(variables.names) or 'none'}. Correct the source's reader."
        )
    values = [variables.load(head.removesuffix("[]"))]
    values = values[0].items() if head.endswith("[]") else values
    for place, text in enumerate(fields):
        found = [value.field(text.removesuffix("[]")) for value in values]
        if any(value is None for value in found):
            where = ".".join([head, *fields[:place]])
            raise IngestError(f"{where} has no field {text.removesuffix('[]')!r}. Correct the source's reader.")
        values = [value for value in found if value is not None]
        values = [item for value in values for item in value.items()] if text.endswith("[]") else values
    return values


@contextmanager
def open_variables(path: Path, kind: str) -> Iterator[Variables]:
    """Open a file of `kind` matlab or npz. Raises IngestError if it is damaged, or holds what must not be executed."""
    try:
        if kind == "npz":
            with np.load(path, allow_pickle=False) as archive:
                yield _Npz(archive)
        elif h5py.is_hdf5(path):
            check_hdf5(path)
            with h5py.File(path, "r") as file:
                yield _Hdf5(file)
        else:
            yield _Mat5(path)
    except DAMAGE as error:
        what = "NumPy archive" if kind == "npz" else "MATLAB file"
        found = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        action = "Save its arrays as numbers or texts, not as objects" if "pickle" in found else "Fetch it again"
        raise IngestError(f"{path.name} cannot be read: expected a sound {what}, found: {found}. {action}.") from error


class _Mat5:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._kinds = {name: kind for name, _, kind in scipy.io.whosmat(path)}
        self.names = tuple(self._kinds)
        self._held: tuple[str, Value] | None = None

    def load(self, name: str) -> Value:
        if self._held is None or self._held[0] != name:  # one at a time: each is unpacked into memory as a whole
            self._held = None
            if self._kinds[name] in ("opaque", "function", "object"):
                raise _no_data(self._kinds[name])
            loaded = scipy.io.loadmat(self._path, variable_names=[name], struct_as_record=False)
            self._held = (name, _Mat5Value(loaded[name]))
        return self._held[1]


class _Mat5Value:
    reversed = False

    def __init__(self, value: Any) -> None:
        self._value = value
        if isinstance(value, _NO_DATA):
            raise _no_data(type(value).__name__)

    def field(self, name: str) -> Value | None:
        items = self._structs()
        if len(items) != 1:
            raise IngestError(f"An array of {len(items)} structs has no single field {name!r}: write []. Correct it.")
        return _Mat5Value(getattr(items[0], name)) if name in items[0]._fieldnames else None

    def items(self) -> list[Value]:
        if isinstance(self._value, np.ndarray) and self._value.dtype == object:
            return [_Mat5Value(item) for item in self._value.ravel(order="F")]
        return [self]

    def _structs(self) -> list[Any]:
        value = self._value
        while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
            value = value.ravel()[0]
        items = list(value.ravel(order="F")) if isinstance(value, np.ndarray) else [value]
        if not items or not all(hasattr(item, "_fieldnames") for item in items):
            raise IngestError("A variable is no struct: expected fields, found values. Correct the source's reader.")
        return items

    def array(self) -> Any:
        return _numbers(np.asarray(self._value))

    def texts(self) -> list[str] | None:
        values = np.atleast_1d(np.asarray(self._value))
        if values.dtype.kind == "U":
            return [str(text).rstrip() for text in values.ravel()]
        cells = [np.atleast_1d(np.asarray(cell)) for cell in values.ravel(order="F")]
        if values.dtype != object or not all(cell.dtype.kind == "U" and cell.size <= 1 for cell in cells):
            return None
        return [str(cell.ravel()[0]) if cell.size else "" for cell in cells]


class _Hdf5:
    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self.names = tuple(name for name in file if not name.startswith("#"))

    def load(self, name: str) -> Value:
        return _Hdf5Value(self._file[name])


class _Hdf5Value:
    """MATLAB v7.3 lies in HDF5 with its axes in reverse order; structs are groups, cells are references."""

    reversed = True

    def __init__(self, node: Any) -> None:
        self._node = node
        kind = node.attrs.get("MATLAB_class", b"double")
        self._kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        if "MATLAB_object_decode" in node.attrs or self._kind not in ("struct", "cell", "char", *_HDF5_NUMBERS):
            raise _no_data(self._kind)

    def field(self, name: str) -> Value | None:
        if not isinstance(self._node, h5py.Group):
            raise IngestError("A variable is no struct: expected fields, found values. Correct the source's reader.")
        return _Hdf5Value(self._node[name]) if name in self._node else None

    def items(self) -> list[Value]:
        if self._kind == "cell":
            return [_Hdf5Value(self._node.file[reference]) for reference in self._node[()].ravel()]
        if isinstance(self._node, h5py.Group) and self._node and all(map(_is_references, self._node.values())):
            count = next(iter(self._node.values())).size
            return [_Hdf5Struct(self._node, index) for index in range(count)]
        return [self]

    def array(self) -> Any:
        if self._kind not in _HDF5_NUMBERS or not isinstance(self._node, h5py.Dataset):
            raise IngestError(
                f"A variable holds no numbers: expected an array, found {self._kind}. Correct the reader."
            )
        if "MATLAB_empty" in self._node.attrs:
            return np.empty((0, 0))
        check_numbers(self._node)
        return self._node

    def texts(self) -> list[str] | None:
        if self._kind == "char":
            codes = np.atleast_2d(self._node[()])
            empty = "MATLAB_empty" in self._node.attrs
            return [] if empty else ["".join(map(chr, row)).rstrip() for row in codes.T.tolist()]
        if self._kind != "cell":
            return None
        cells = [item.texts() for item in self.items()]
        texts = [cell for cell in cells if cell is not None]
        return ["".join(cell) for cell in texts] if len(texts) == len(cells) else None


class _Hdf5Struct:
    """One struct of an array of structs, each field of which is an array of references."""

    reversed = True

    def __init__(self, group: Any, index: int) -> None:
        self._group = group
        self._index = index

    def field(self, name: str) -> Value | None:
        if name not in self._group:
            return None
        return _Hdf5Value(self._group.file[self._group[name][()].ravel()[self._index]])

    def items(self) -> list[Value]:
        return [self]

    def array(self) -> Any:
        raise IngestError("A variable holds no numbers: expected an array, found a struct. Correct the reader.")

    def texts(self) -> list[str] | None:
        return None


def _is_references(node: Any) -> bool:
    return (
        isinstance(node, h5py.Dataset)
        and h5py.check_ref_dtype(node.dtype) is not None
        and "MATLAB_class" not in node.attrs
    )


class _Npz:
    def __init__(self, archive: Any) -> None:
        self._archive = archive
        self.names = tuple(archive.files)

    def load(self, name: str) -> Value:
        return _NpzValue(self._archive[name])


class _NpzValue:
    reversed = False

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self._values = values

    def field(self, name: str) -> Value | None:  # noqa: ARG002  plain arrays have none
        return None

    def items(self) -> list[Value]:
        return [self]

    def array(self) -> Any:
        return _numbers(self._values)

    def texts(self) -> list[str] | None:
        return [str(text) for text in self._values.ravel()] if self._values.dtype.kind in "US" else None


def _numbers(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype.kind not in "buif":
        raise IngestError(
            f"A variable holds no numbers: expected an array of real numbers, found {values.dtype}. Correct the reader."
        )
    return values


def _no_data(kind: str) -> IngestError:
    return IngestError(
        f"A variable of the file is no data: expected numbers, texts, cells or structs, found a MATLAB {kind}, which "
        "is not executed. Save it as a plain array."
    )


def check_numbers(dataset: h5py.Dataset) -> None:
    """Raises IngestError if HDF5 describes numbers that no computer has, as damaged bytes do: it would convert them."""
    if dataset.dtype.kind in "iuf" and dataset.id.get_type() != h5py.h5t.py_create(dataset.dtype):
        raise IngestError(
            f"The numbers of {dataset.name} cannot be read: expected {dataset.dtype} as IEEE 754 or two's complement, "
            "found another layout of their bits. Fetch the file again."
        )


def vector(value: Value) -> npt.NDArray[np.float64]:
    """Return the numbers of a value as a vector."""
    return np.asarray(value.array(), np.float64).ravel()

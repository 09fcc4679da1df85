"""Volumes: voxels with their geometry, read through a strict gate and written with fresh headers.

Everything that NIfTI files can get wrong is refused here, by one error that names the file, the
cause and what to do. The only importer of nibabel (headers); gzip is python-isal's.
"""

import logging
import math
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal, NamedTuple

import nibabel as nib
import numpy as np
import torch
from jaxtyping import Float
from nibabel.spatialimages import HeaderDataError
from torch import Tensor

from brainweave.data.files import atomic
from brainweave.data.grid import Grid, Shape, Spacing, orientation_of, require_affine, route
from brainweave.data.stream import finish, naming, opened, pack, quantised, require_suffix
from brainweave.errors import OutputError, VolumeError

_LIMIT = 2**31  # bytes of voxels (as stored, and as float32) that a header may claim
_EXTENSIONS = 2**26  # bytes between header and voxels
_DESCRIPTION = 79  # bytes; the field holds 80 with its terminator

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels (float32) and the affine that maps their indices to mm (float64, read-only).

    The voxels of a loaded volume lie in memory as in its file, so `data` need not be contiguous.
    Raises VolumeError for no voxels or an affine that cannot be inverted.
    """

    data: Float[Tensor, "i j k"]
    affine: Float[np.ndarray, "4 4"]

    def __post_init__(self) -> None:
        if self.data.dim() != 3 or not self.data.numel():
            raise VolumeError(f"shape {tuple(self.data.shape)} given, three axes are needed")
        affine = np.array(self.affine, dtype=np.float64)
        require_affine(affine)
        affine.setflags(write=False)
        object.__setattr__(self, "data", self.data.to(torch.float32))
        object.__setattr__(self, "affine", affine)

    @property
    def grid(self) -> Grid:
        """The geometry as a value."""
        return Grid.of(self.shape, self.affine)

    @property
    def shape(self) -> Shape:
        """Voxels along i, j, k."""
        i, j, k = self.data.shape
        return i, j, k

    @property
    def spacing(self) -> Spacing:
        """Voxel edges in mm."""
        return self.grid.spacing

    @property
    def orientation(self) -> str:
        """The nearest orientation code, such as "RAS"."""
        return orientation_of(self.affine)

    def oriented(self, orientation: str) -> "Volume":
        """The same volume with its axes flipped and permuted to an orientation code, as "RAS"."""
        way = route(self.orientation, orientation)
        data = self.data.permute(way.order).flip(way.flips)
        return Volume(data, self.grid.oriented(orientation).matrix)

    @classmethod
    def load(cls, path: Path | str) -> "Volume":
        """Reads a NIfTI-1 or NIfTI-2 file (.nii, .nii.gz) with its scaling applied.

        Raises VolumeError for a file that is absent, damaged, not finite, not three-dimensional,
        not real-valued or whose geometry is unknown or contradictory.
        """
        path = Path(path)
        with opened(path) as (stream, capacity):
            stored = _read_header(path, stream, capacity)
            return cls(torch.from_numpy(_read_voxels(stream, stored)), stored.grid.matrix)

    def save(
        self,
        path: Path | str,
        *,
        dtype: Literal["int16", "float32"] = "int16",
        description: str = "",
    ) -> None:
        """Writes NIfTI-1 (.nii, .nii.gz) with a fresh header, whole or not at all.

        int16 is exact for whole numbers that fit; else it spans the range of the data, off by at
        most half of 1/65534 of it, and a minimum of 0 stays exactly 0. Equal volumes give equal
        bytes. Raises VolumeError for voxels that are not finite, OutputError where it cannot write.
        """
        path = Path(path)
        values = self.data.detach().cpu().numpy()
        with naming(path):
            require_suffix(path)
            _require_finite(values)
        codes, slope, inter = quantised(values) if dtype == "int16" else (values, 1.0, 0.0)
        header = _fresh_header(self.affine, codes, description)
        header["scl_slope"], header["scl_inter"] = slope, inter
        content = pack(path, header.binaryblock + bytes(4) + codes.tobytes(order="F"))
        try:
            with atomic(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            needed = f"{len(content) / 1e6:.1f} MB"
            raise OutputError(
                f"{path}: cannot be written ({error.strerror}); it needs {needed} there"
            ) from error


def read_grid(path: Path | str) -> Grid:
    """The geometry of a NIfTI file from its header, with every check that needs no voxels.

    Raises VolumeError as `Volume.load` does.
    """
    path = Path(path)
    with opened(path) as (stream, capacity):
        return _read_header(path, stream, capacity).grid


class _Stored(NamedTuple):
    """What a header says about the voxels that follow it."""

    grid: Grid
    dtype: np.dtype
    skip: int  # bytes between the header and the voxels
    slope: float
    inter: float


def _read_header(path: Path, stream: BufferedIOBase, capacity: int) -> _Stored:
    """Everything that can be judged before voxels are read; nothing large is allocated."""
    block = stream.read(348)
    kind = nib.Nifti1Header
    if not kind.may_contain_header(block):
        kind, block = nib.Nifti2Header, block + stream.read(540 - 348)
    if not kind.may_contain_header(block):
        raise VolumeError("does not begin with a NIfTI header; convert it, as by dcm2niix")
    header = kind(block, check=False)  # nibabel's own check repairs silently what we refuse
    if header["magic"].item() != kind.single_magic:
        raise VolumeError(f"has magic {header['magic'].item()!r}, not {kind.single_magic!r}")
    shape, dtype = _shape(header), _dtype(header)
    skip = float(header["vox_offset"]) - len(block)
    needed = skip + len(block) + math.prod(shape) * dtype.itemsize
    if not 0 <= skip <= _EXTENSIONS or math.prod(shape) * max(dtype.itemsize, 4) > _LIMIT:
        raise VolumeError(
            f"claims {shape} voxels of {dtype} from byte {header['vox_offset']}, beyond "
            f"the limit of {_LIMIT:.1e} bytes; its header is damaged or it wants downsampling"
        )
    if needed > capacity:
        raise VolumeError(
            f"claims {needed:.3g} bytes for {shape} voxels, more than its size can hold: "
            "it is truncated or its header is damaged; copy or download it again"
        )
    slope, inter = _scaling(header)
    return _Stored(Grid.of(shape, _affine(path, header, shape)), dtype, int(skip), slope, inter)


def _shape(header: Any) -> Shape:
    count, *sizes = (int(size) for size in header["dim"])
    shape = tuple(sizes[:count])
    if not 1 <= count <= 7 or min(shape) < 1:
        raise VolumeError(f"has impossible dimensions {sizes} (of which {count}); header damaged")
    if count < 3 or math.prod(shape[3:]) > 1:
        raise VolumeError(
            f"has dimensions {shape}, one 3-D volume is needed; extract a single frame"
        )
    return shape[0], shape[1], shape[2]


def _dtype(header: Any) -> np.dtype:
    try:
        dtype = header.get_data_dtype()
    except (KeyError, HeaderDataError):
        raise VolumeError(f"has unknown datatype {int(header['datatype'])}") from None
    if dtype.kind not in "iuf":
        raise VolumeError(
            f"has datatype {int(header['datatype'])} ({dtype}), not one real number per voxel; "
            "save a magnitude or a single channel (complex and RGB are not read)"
        )
    return dtype


def _scaling(header: Any) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 means that none is set (NIfTI-1 standard)."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0:
        return 1.0, 0.0
    if not math.isfinite(slope) or not math.isfinite(inter):
        raise VolumeError(f"has scl_slope {slope} and scl_inter {inter}; write finite values")
    return slope, inter


def _affine(path: Path, header: Any, shape: Shape) -> np.ndarray:
    """The sform if it is set, else the qform; an affine is never invented."""
    if int(header["xyzt_units"]) % 8 not in (0, 2):
        raise VolumeError("gives positions in metres or micrometres; rewrite its geometry in mm")
    if header["pixdim"][0] == 0:
        header["pixdim"][0] = 1  # the standard's reading of a qfac of 0
    try:
        readers = {"sform": header.get_sform, "qform": header.get_qform}
        found = {name: read() for name, read in readers.items() if int(header[f"{name}_code"]) > 0}
    except (HeaderDataError, ValueError) as error:
        raise VolumeError(f"has an unreadable qform ({error}); repair it or unset it") from None
    if not found:
        raise VolumeError(
            "has neither sform nor qform: left and right are unknown; set one whose origin you know"
        )
    for name, matrix in found.items():
        require_affine(matrix, name)
    if len(found) == 2:
        _compare(path, found["sform"], found["qform"], shape)
    return next(iter(found.values()))


def _compare(path: Path, sform: np.ndarray, qform: np.ndarray, shape: Shape) -> None:
    """Warns where two geometries differ by over a tenth of a voxel, refuses mirror images."""
    sides = [set(orientation_of(matrix)) & {"L", "R"} for matrix in (sform, qform)]
    if sides[0] != sides[1] or np.linalg.det(sform) * np.linalg.det(qform) < 0:
        codes = f"{orientation_of(sform)} and {orientation_of(qform)}"
        raise VolumeError(
            f"has sform and qform that disagree about left and right: {codes}, handedness "
            f"{np.linalg.det(sform):+.2g} and {np.linalg.det(qform):+.2g} mm3; unset the wrong one"
        )
    corners = np.array([(*c, 1) for c in np.ndindex(2, 2, 2)]) * [*(n - 1 for n in shape), 1]
    apart = float(np.linalg.norm(corners @ (sform - qform).T, axis=1).max())
    if apart > np.linalg.norm(sform[:3, :3], axis=0).min() / 10:
        _log.warning("%s: sform and qform lie up to %.1f mm apart; the sform is used", path, apart)


def _read_voxels(stream: BufferedIOBase, stored: _Stored) -> Float[np.ndarray, "i j k"]:
    """The scaled voxels as float32."""
    stream.read(stored.skip)
    wanted = math.prod(stored.grid.shape) * stored.dtype.itemsize
    content = stream.read(wanted)
    if len(content) < wanted:
        raise VolumeError(
            f"holds {len(content)} of {wanted} bytes of voxels: it is truncated; copy it again"
        )
    finish(stream)
    raw = np.frombuffer(content, stored.dtype).reshape(stored.grid.shape, order="F")
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
        if (stored.slope, stored.inter) != (1.0, 0.0):
            raw = raw.astype(np.float64)
            raw *= stored.slope
            raw += stored.inter
        values = raw.astype(
            np.float32
        )  # stays in file order, i fastest: a transposition costs more
    _require_finite(values)
    return values


def _require_finite(values: np.ndarray) -> None:
    bad = values.size - np.count_nonzero(np.isfinite(values))
    if bad:
        raise VolumeError(
            f"has {bad} of {values.size} voxels that are NaN or infinite; repair or mask them"
        )


def _fresh_header(affine: np.ndarray, codes: np.ndarray, description: str) -> Any:
    """A header that says only this; a qform is written unless the affine is sheared."""
    text = description.encode()
    if len(text) > _DESCRIPTION:
        raise OutputError(f"description {description!r} has {len(text)} bytes, over {_DESCRIPTION}")
    header = nib.Nifti1Header(endianness="<")
    header.set_data_shape(codes.shape)
    header.set_data_dtype(codes.dtype)
    header.set_sform(affine, code="aligned")
    header.set_qform(affine, code="aligned", strip_shears=True)
    if not np.allclose(header.get_qform(), affine, rtol=0, atol=1e-3):
        header.set_qform(None, code=0)
    header.set_xyzt_units("mm")
    header["vox_offset"] = 352
    header["descrip"] = text
    return header

"""The bytes of a volume's file, plain or gzip (python-isal), with one error for all that fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError

from brainweave.errors import VolumeError

_INFLATION = 1100  # deflate expands 1032 times at most
_CHUNK = 2**20
_EXCESS = 2**31  # bytes that may follow the voxels


@contextmanager
def opened(path: Path) -> Iterator[tuple[BufferedIOBase, int]]:
    """The decompressed bytes of a file and the most there can be; all failures name the file."""
    with naming(path):
        require_suffix(path)
        with path.open("rb") as file:
            size = path.stat().st_size
            packed = _is_gzip(path, file.read(32))
            file.seek(0)
            if not packed:
                yield file, size
                return
            with igzip.open(file) as stream:
                yield stream, _INFLATION * size


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turns whatever reading `path` raises into a VolumeError that names it."""
    again = "copy or download it again"
    try:
        yield
    except VolumeError as error:
        raise VolumeError(f"{path}: {error}") from None
    except FileNotFoundError:
        link = "is a link to a file that is not there (fetch it, as by datalad get)"
        why = link if path.is_symlink() else "does not exist; check the path"
        raise VolumeError(f"{path}: {why}") from None
    except EOFError as error:
        raise VolumeError(f"{path}: is truncated, its gzip stream just ends; {again}") from error
    except (igzip.BadGzipFile, IsalError) as error:  # type: ignore[misc]  # a slip in its stub
        raise VolumeError(f"{path}: has damaged gzip data ({error}); {again}") from error
    except OSError as error:
        why = f"cannot be read ({error.strerror}); check that it is a file with read permission"
        raise VolumeError(f"{path}: {why}") from error


def require_suffix(path: Path) -> None:
    """Raises VolumeError unless the name ends in .nii or .nii.gz."""
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise VolumeError("is not named as NIfTI; volumes are .nii or .nii.gz files")


def finish(stream: BufferedIOBase) -> None:
    """Reads to the end, where gzip compares its checksum; keeps nothing."""
    for _ in range(_EXCESS // _CHUNK):
        if not stream.read(_CHUNK):
            return
    raise VolumeError(f"has over {_EXCESS:.1e} bytes after its voxels; it is no image to trust")


def pack(path: Path, content: bytes) -> bytes:
    """What to write at `path`: gzip level 1 without a time or name if it is so named."""
    if path.name.lower().endswith(".gz"):
        return igzip.compress(content, compresslevel=1, mtime=0)
    return content


def _is_gzip(path: Path, start: bytes) -> bool:
    """Whether a file is gzip, which must agree with its name."""
    if not start:
        raise VolumeError("is empty (0 bytes); copy or download it again")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise VolumeError("is a web page (HTML or XML), not an image; log in, download it again")
    if start.startswith((b"version https://git", b"/annex/", b"../")):
        raise VolumeError("is a git pointer, not an image; fetch it by git lfs pull or datalad get")
    packed, named = start.startswith(b"\x1f\x8b"), path.name.lower().endswith(".gz")
    if packed != named:
        what, name = ("gzip", ".nii.gz") if packed else ("not gzip", ".nii if it is plain NIfTI")
        raise VolumeError(f"is {what} inside; name it {name}")
    return packed


def quantised(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """int16 codes, slope and intercept. Slope and intercept are exact in float32."""
    low, high = float(values.min()), float(values.max())
    if low >= -32768 and high <= 32767 and np.array_equal(values, np.rint(values)):
        return values.astype(np.int16), 1.0, 0.0
    if low == high:
        return np.zeros(values.shape, np.int16), 1.0, low
    slope = float(np.float32(max((high - low) / 65535, float(np.finfo(np.float32).tiny))))
    inter = float(np.float32(low + 32768 * slope))  # 2^15: exact for low = 0
    codes = values.astype(np.float64)
    codes -= inter
    codes /= slope
    np.rint(codes, out=codes)
    return codes.clip(-32768, 32767, out=codes).astype(np.int16), slope, inter

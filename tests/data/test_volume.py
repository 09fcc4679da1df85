"""Volumes: what is read equals nibabel's reading; what nibabel lets through is refused."""

import gzip
import logging

import nibabel as nib
import numpy as np
import pytest
import torch

from brainweave.data.grid import Grid
from brainweave.data.volume import Volume, read_grid
from brainweave.errors import VolumeError

SHAPE = (5, 6, 7)
AFFINE = np.array([[-2.0, 0, 0, 40], [0, 0.3, 1.9, -60], [0, -2.2, 0.4, 12], [0, 0, 0, 1]])


def voxels(dtype="int16", shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 120, shape).astype(dtype)


def header(dtype="int16", shape=SHAPE, kind=nib.Nifti1Header, endianness="<"):
    made = kind(endianness=endianness)
    made.set_data_shape(shape)
    made.set_data_dtype(dtype)
    made.set_sform(AFFINE, 1)
    made.set_qform(AFFINE, 0)
    made["vox_offset"] = 352 if kind is nib.Nifti1Header else 544
    made["scl_slope"] = 1
    return made


def write(path, head=None, data=None):
    """A NIfTI file with exactly this header, gzip if so named."""
    head = header() if head is None else head
    data = voxels() if data is None else data
    content = head.binaryblock + bytes(4) + data.tobytes(order="F")
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


def volume() -> Volume:
    return Volume(torch.from_numpy(voxels("float32")), AFFINE)


def assert_reads_like_nibabel(path):
    image = nib.load(path)
    mine = Volume.load(path)
    assert np.array_equal(mine.data.numpy(), image.get_fdata().astype(np.float32))
    assert np.array_equal(mine.affine, image.affine)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "int16", "uint16", "int32", "int64", "float32", "float64"]
)
def test_every_real_datatype_reads_as_by_nibabel(tmp_path, name, dtype):
    assert_reads_like_nibabel(write(tmp_path / name, header(dtype), voxels(dtype)))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_slope_and_intercept_are_applied_as_by_nibabel(tmp_path, dtype):
    head = header(dtype)
    head["scl_slope"], head["scl_inter"] = 0.0371, -17.3
    assert_reads_like_nibabel(write(tmp_path / "a.nii.gz", head, voxels(dtype)))


def test_a_slope_of_zero_means_no_scaling(tmp_path):
    head = header()
    head["scl_slope"], head["scl_inter"] = 0, 5
    assert np.array_equal(Volume.load(write(tmp_path / "a.nii", head)).data.numpy(), voxels())


def test_big_endian_files_are_read(tmp_path):
    head = header(">i2", endianness=">")
    assert_reads_like_nibabel(write(tmp_path / "a.nii", head, voxels(">i2")))


def test_nifti2_is_read(tmp_path):
    assert_reads_like_nibabel(write(tmp_path / "a.nii.gz", header(kind=nib.Nifti2Header)))


def test_extensions_are_skipped(tmp_path):
    image = nib.Nifti1Image(voxels(), AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"text" * 99))
    nib.save(image, tmp_path / "a.nii.gz")
    assert_reads_like_nibabel(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("shape", [(5, 6, 7, 1), (5, 6, 7, 1, 1)])
def test_a_single_frame_is_squeezed(tmp_path, shape):
    path = write(tmp_path / "a.nii", header(shape=shape))
    assert np.array_equal(Volume.load(path).data.numpy(), voxels())


@pytest.mark.parametrize("qfac", [-1, 0, 1])
def test_a_qform_alone_is_enough(tmp_path, qfac):
    head = header()
    head.set_sform(None, 0)
    head.set_qform(np.diag([2.0, 2, 2 * (qfac or 1), 1]), 1)
    head["pixdim"][0] = qfac
    path = write(tmp_path / "a.nii", head)
    np.testing.assert_allclose(Volume.load(path).affine, np.diag([2, 2, 2 * (qfac or 1), 1]))


def test_oblique_geometry_is_kept(tmp_path):
    assert np.array_equal(Volume.load(write(tmp_path / "a.nii")).affine, np.float32(AFFINE))


def test_read_grid_agrees_with_load(tmp_path):
    path = write(tmp_path / "a.nii.gz")
    assert read_grid(path) == Volume.load(path).grid


def test_a_grid_is_the_volume_without_voxels():
    assert volume().grid == Grid.of(SHAPE, AFFINE)


def test_spacing_and_orientation_are_those_of_nibabel():
    made = volume()
    np.testing.assert_allclose(made.spacing, nib.affines.voxel_sizes(AFFINE))
    assert made.orientation == "".join(nib.aff2axcodes(AFFINE))


# What is refused: each with the file's name, the cause and what to do.


def refused(path, match, *, by_header=False):
    with pytest.raises(VolumeError, match=match) as caught:
        Volume.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    if by_header:
        with pytest.raises(VolumeError, match=match):
            read_grid(path)


def test_a_truncated_plain_file_is_refused(tmp_path):
    path = write(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes()[:-1])
    refused(path, "truncated", by_header=True)


def test_a_gzip_with_fewer_voxels_than_claimed_is_refused(tmp_path):
    refused(write(tmp_path / "a.nii.gz", data=voxels(shape=(5, 6, 6))), "holds 360 of 420 bytes")


def test_an_empty_gzip_is_refused(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(b""))
    refused(tmp_path / "a.nii.gz", "does not begin with a NIfTI header", by_header=True)


def test_noise_is_refused(tmp_path):
    (tmp_path / "a.nii").write_bytes(bytes(range(1, 200)) * 5)
    refused(tmp_path / "a.nii", "does not begin with a NIfTI header", by_header=True)


def test_a_header_of_a_pair_is_refused(tmp_path):
    head = header()
    head["magic"] = b"ni1"
    refused(write(tmp_path / "a.nii", head), "has magic", by_header=True)


def with_fields(**fields):
    head = header()
    for name, value in fields.items():
        head[name] = value
    return head


def with_forms(sform=None, qform=None):
    head = header()
    head.set_sform(sform, 0 if sform is None else 1)
    head.set_qform(qform, 0 if qform is None else 1)
    return head


FLIPPED = AFFINE @ np.diag([-1.0, 1, 1, 1])
TURNED = np.diag([-1.0, -1, 1, 1])
BAD_HEADERS = {
    "2e4^3 voxels": (with_fields(dim=[3, 20000, 20000, 20000, 1, 1, 1, 1]), "beyond the limit"),
    "300^3 voxels": (with_fields(dim=[3, 300, 300, 300, 1, 1, 1, 1]), "more than its size can"),
    "negative dim": (with_fields(dim=[3, 5, -6, 7, 1, 1, 1, 1]), "impossible dimensions"),
    "zero dim": (with_fields(dim=[3, 5, 0, 7, 1, 1, 1, 1]), "impossible dimensions"),
    "no dims": (with_fields(dim=[0, 5, 6, 7, 1, 1, 1, 1]), "impossible dimensions"),
    "2-D": (with_fields(dim=[2, 5, 6, 1, 1, 1, 1, 1]), r"has dimensions \(5, 6\)"),
    "4-D": (with_fields(dim=[4, 5, 6, 1, 7, 1, 1, 1]), r"dimensions \(5, 6, 1, 7\).*single frame"),
    "offset 0": (with_fields(vox_offset=0), "from byte 0"),
    "offset nan": (with_fields(vox_offset=np.nan), "from byte nan"),
    "offset 1e12": (with_fields(vox_offset=1e12), "from byte"),
    "slope nan": (with_fields(scl_slope=np.nan), "scl_slope nan.*write finite"),
    "slope inf": (with_fields(scl_slope=np.inf), "scl_slope inf"),
    "inter nan": (with_fields(scl_inter=np.nan), "scl_inter nan"),
    "complex": (with_fields(datatype=32, bitpix=64), "complex"),
    "rgb": (with_fields(datatype=128, bitpix=24), "not one real number per voxel"),
    "binary": (with_fields(datatype=1, bitpix=1), "not one real number per voxel"),
    "unknown type": (with_fields(datatype=999), "unknown datatype 999"),
    "metres": (with_fields(xyzt_units=1), "metres"),
    "no geometry": (with_forms(), "neither sform nor qform.*left and right are unknown"),
    "singular": (with_fields(srow_x=[0, 0, 0, 5]), "sform is singular"),
    "nan affine": (with_fields(srow_y=[0, np.nan, 0, 5]), "sform holds NaN"),
    "nan qform": (with_fields(qform_code=1, quatern_b=np.nan), "qform"),
    "long quaternion": (with_fields(qform_code=1, quatern_b=1, quatern_c=1), "unreadable qform"),
    "no voxel size": (with_fields(sform_code=0, qform_code=1, pixdim=[1] + 7 * [0]), "singular"),
    "mirrored": (with_forms(AFFINE, FLIPPED), "disagree about left and right.*unset"),
    "back to front": (with_forms(np.eye(4), np.diag([1.0, -1, 1, 1])), "RAS and RPS"),
    "turned": (with_forms(np.eye(4), TURNED), "RAS and LPS"),
}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(("head", "match"), BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_header_that_cannot_be_trusted_is_refused(tmp_path, head, match, name):
    refused(write(tmp_path / name, head), match, by_header=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_counted_and_refused(tmp_path, value):
    data = voxels("float32")
    data[0, :3, 0] = value
    path = write(tmp_path / "a.nii.gz", header("float32"), data)
    refused(path, "3 of 210 voxels that are NaN or infinite")


def test_voxels_beyond_float32_are_refused(tmp_path):
    data = voxels("float64") + 1
    data[0, 0, 0] = 1e300
    refused(write(tmp_path / "a.nii", header("float64"), data), "1 of 210 voxels")


def test_a_claim_is_refused_before_memory_is_taken(tmp_path):
    head = with_fields(dim=[3, 700, 700, 700, 1, 1, 1, 1])
    packed = gzip.compress(head.binaryblock + bytes(4) + bytes(10_000))
    (tmp_path / "a.nii.gz").write_bytes(packed)
    refused(tmp_path / "a.nii.gz", "more than its size can hold", by_header=True)


def test_forms_that_lie_apart_are_warned_of_and_the_sform_is_used(tmp_path, caplog):
    moved = np.diag([2.0, 2, 2, 1])
    moved[1, 3] = 4.5
    path = write(tmp_path / "a.nii", with_forms(np.diag([2.0, 2, 2, 1]), moved))
    with caplog.at_level(logging.WARNING):
        assert Volume.load(path).affine[1, 3] == 0
    assert "4.5 mm apart; the sform is used" in caplog.text
    assert str(path) in caplog.text


def test_forms_that_differ_by_rounding_are_not_warned_of(tmp_path, caplog):
    rigid = nib.affines.from_matvec(np.diag([1.0, 2, 3]) @ np.eye(3), [5, 6, 7])
    Volume.load(write(tmp_path / "a.nii", with_forms(rigid + 1e-4 * np.eye(4, k=3), rigid)))
    assert not caplog.records


def test_any_header_is_read_or_refused(tmp_path):
    content = write(tmp_path / "a.nii").read_bytes()
    rng = np.random.default_rng(0)
    refusals = 0
    for _ in range(500):
        damaged = bytearray(content)
        for at in rng.integers(0, 352, 4):
            damaged[at] = rng.integers(256)
        (tmp_path / "a.nii").write_bytes(damaged)
        try:
            read = Volume.load(tmp_path / "a.nii")
        except VolumeError:
            refusals += 1
        else:
            assert torch.isfinite(read.data).all()
    assert 50 < refusals < 450


def test_a_volume_without_voxels_is_refused():
    with pytest.raises(VolumeError, match="three axes"):
        Volume(torch.zeros(0, 3, 3), np.eye(4))


def test_a_singular_affine_is_refused():
    with pytest.raises(VolumeError, match="singular"):
        Volume(torch.zeros(3, 3, 3), np.diag([1.0, 0, 1, 1]))


def test_the_affine_of_a_volume_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        volume().affine[0, 0] = 1

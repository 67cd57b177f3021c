"""MRC images are read as they lie in the file, and what is no single image is refused with one sentence."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.mrc import read_header, read_image, read_mask, write_image

MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def ramp(h: int = 6, w: int = 9) -> NDArray[np.float64]:
    """Return a rectangular image in which every pixel has another value."""
    return np.arange(h * w, dtype=np.float64).reshape(h, w)


def write_raw(
    path: Path,
    pixels: NDArray[np.float64],
    *,
    mode: int = 2,
    order: str = "<",
    nz: int = 1,
    ispg: int = 0,
    extended: int = 0,
    mark: bytes = b"MAP ",
    pixel_size: float = 1.5,
) -> Path:
    """Write an MRC file byte by byte from the MRC2014 table, without mrcfile: the independent answer."""
    h, w = pixels.shape
    header = bytearray(1024)
    struct.pack_into(f"{order}4i", header, 0, w, h, nz, mode)
    struct.pack_into(f"{order}3i", header, 28, w, h, nz)
    struct.pack_into(f"{order}3f", header, 40, w * pixel_size, h * pixel_size, nz * pixel_size)
    struct.pack_into(f"{order}3i", header, 64, 1, 2, 3)
    struct.pack_into(f"{order}2i", header, 88, ispg, extended)
    header[208:212] = mark
    header[212:216] = b"\x44\x44\x00\x00" if order == "<" else b"\x11\x11\x00\x00"
    path.write_bytes(bytes(header) + b"x" * extended + pixels.astype(order + MODES.get(mode, "f4")).tobytes())
    return path


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("mode", MODES)
def test_modes_and_byte_orders(tmp_path: Path, mode: int, order: str) -> None:
    path = write_raw(tmp_path / "a.mrc", ramp(), mode=mode, order=order)
    image = read_image(path)
    assert image.dtype == np.float32
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, ramp())
    assert read_header(path).shape == (6, 9)
    assert read_header(path).pixel_size == pytest.approx(1.5)


@pytest.mark.parametrize("ispg", [0, 1, 401])
def test_single_image_as_stack_or_volume(tmp_path: Path, ispg: int) -> None:
    path = write_raw(tmp_path / "a.mrc", ramp(), ispg=ispg)
    np.testing.assert_array_equal(read_image(path), ramp())


def test_extended_header_is_skipped(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.mrc", ramp(), extended=768)
    np.testing.assert_array_equal(read_image(path), ramp())


def test_odd_header_gives_no_warning(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.mrc", ramp(), mark=b"\0\0\0\0")
    with path.open("r+b") as file:
        file.seek(212)
        file.write(b"\x11\x11\x00\x00")  # a machine stamp of the other byte order
        file.seek(0, 2)
        file.write(b"left over")
    np.testing.assert_array_equal(read_image(path), ramp())


def test_no_pixel_size(tmp_path: Path) -> None:
    assert read_header(write_raw(tmp_path / "a.mrc", ramp(), pixel_size=0.0)).pixel_size is None


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float16, np.float32])
def test_write_then_read(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "a.mrc"
    write_image(path, ramp().astype(dtype), 1.25)
    np.testing.assert_array_equal(read_image(path), ramp())
    assert read_header(path).pixel_size == pytest.approx(1.25)
    with mrcfile.open(path) as mrc:
        assert mrc.data.dtype == dtype
        assert mrc.data.ndim == 2
        assert mrc.header.ispg == 0
    assert mrcfile.validate(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("image", [np.zeros((2, 3, 4), np.float32), np.zeros((0, 4), np.float32), np.zeros((3, 4))])
def test_write_refuses_what_is_no_image(tmp_path: Path, image: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match=r"expected \(h, w\)"):
        write_image(tmp_path / "a.mrc", image, 1.0)
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mrc"
    write_image(path, ramp().astype(np.float32), 1.0)

    def fail(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(mrcfile, "new", fail)
    with pytest.raises(OSError, match="No space"):
        write_image(path, -ramp().astype(np.float32), 1.0)
    np.testing.assert_array_equal(read_image(path), ramp())
    assert list(tmp_path.iterdir()) == [path]


def test_missing_file(tmp_path: Path) -> None:
    assert_refused(tmp_path / "a.mrc", "There is no micrograph at")


def test_folder_instead_of_file(tmp_path: Path) -> None:
    assert_refused(tmp_path, "There is no micrograph at")


def test_zero_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    path.touch()
    assert_refused(path, r"is empty \(0 bytes\)")


def test_half_a_header(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(b"\1" * 100)
    assert_refused(path, "only 100 bytes, less than an MRC header")


def test_truncated(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.mrc", ramp())
    path.write_bytes(path.read_bytes()[:-8])
    assert_refused(path, "is cut short: 1232 bytes, expected 1240 for 9×6 pixels")


@pytest.mark.parametrize("content", [b"\x89PNG" * 600, b"loop_ data_x #1\n" * 200, bytes(2048), b"\xff" * 2048])
def test_garbage(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(content)
    assert_refused(path, "is not an MRC file")


@pytest.mark.parametrize(
    ("start", "advice"),
    [
        (gzip.compress(b"")[:4], "but compressed: uncompress it with gunzip"),
        (bz2.compress(b"")[:4], "but compressed: uncompress it with bunzip2"),
        (lzma.compress(b"")[:6], "but compressed: uncompress it with unxz"),
        (b"II*\0", "but a TIFF: if it is a movie, correct its motion"),
        (b"II+\0", "but a movie"),
        (b"\x89HDF", "but HDF5: convert it to MRC"),
    ],
)
def test_other_format(tmp_path: Path, start: bytes, advice: str) -> None:
    path = tmp_path / "a.mrc"
    path.write_bytes(start + bytes(2048))
    assert_refused(path, advice)


def test_size_that_looks_like_another_format(tmp_path: Path) -> None:
    """The number of columns stands first in an MRC file; its mark tells that it is one."""
    path = write_raw(tmp_path / "a.mrc", ramp(1, int.from_bytes(b"II*\0", "little")), mode=0)
    assert read_header(path).shape == (1, 2771273)


def test_movie_or_volume(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.mrc", np.tile(ramp(), (24, 1)), nz=24)
    assert_refused(path, r"holds 24 images \(a movie, a stack or a volume\)")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("imod", "range_", "is_unsigned"),
    [
        ((1146047817, 0), (0, 0), True),
        ((1146047817, 1), (0, 255), False),
        ((0, 0), (0, 255), True),
        ((0, 0), (-128, 127), False),
        ((0, 0), (0, 3000), False),
        ((0, 1), (0, 0), False),
    ],
)
def test_unsigned_bytes(
    tmp_path: Path, order: str, imod: tuple[int, int], range_: tuple[float, float], is_unsigned: bool
) -> None:
    """Before MRC2014 the bytes of mode 0 went from 0 to 255: IMOD marks what it writes, others have statistics."""
    pixels = np.arange(0, 250, 5, dtype=np.uint8).reshape(5, 10)
    path = write_raw(tmp_path / "a.mrc", pixels.view(np.int8).astype(np.float64), mode=0, order=order)
    with path.open("r+b") as file:
        file.seek(76)
        file.write(struct.pack(f"{order}2f", *range_))
        file.seek(152)
        file.write(struct.pack(f"{order}2i", *imod))
    np.testing.assert_array_equal(read_image(path), pixels if is_unsigned else pixels.view(np.int8))


def test_complex_mode(tmp_path: Path) -> None:
    assert_refused(write_raw(tmp_path / "a.mrc", ramp(), mode=4), "MRC mode 4, complex numbers")


def test_unknown_mode(tmp_path: Path) -> None:
    assert_refused(write_raw(tmp_path / "a.mrc", ramp(), mode=101), "MRC mode 101, not read here .newstack")


def test_empty_dimension(tmp_path: Path) -> None:
    assert_refused(write_raw(tmp_path / "a.mrc", ramp(0, 9)), "9×0×1 pixels")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_not_finite(tmp_path: Path, value: float) -> None:
    pixels = ramp()
    pixels[2, 3:5] = value
    path = write_raw(tmp_path / "a.mrc", pixels)
    with pytest.raises(InputError, match="has 2 pixels that are not finite numbers"):
        read_image(path)
    assert read_header(path).shape == (6, 9)


def test_constant_image(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.mrc", np.full((6, 9), 7.0))
    with pytest.raises(InputError, match="all pixels have the same value, 7"):
        read_image(path)


def assert_refused(path: Path, sentence: str) -> None:
    """Assert that the image and the header are both refused with one and the same sentence."""
    for read in (read_image, read_header):
        with pytest.raises(InputError, match=sentence) as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


def test_part_of_an_image_knows_its_corner(tmp_path: Path) -> None:
    write_image(tmp_path / "part.mrc", ramp().astype(np.float32), 2.5, corner=(40.0, 75.0))
    with mrcfile.open(tmp_path / "part.mrc") as mrc:
        assert (float(mrc.header.origin.x), float(mrc.header.origin.y), float(mrc.header.origin.z)) == (75.0, 40.0, 0.0)
    assert read_header(tmp_path / "part.mrc").pixel_size == pytest.approx(2.5)


def test_mask_may_be_empty(tmp_path: Path) -> None:
    mask = np.zeros((6, 9), dtype=np.int8)
    write_image(tmp_path / "mask.mrc", mask, 1.0)
    assert not read_mask(tmp_path / "mask.mrc").any()
    mask[2, 7] = 1
    write_image(tmp_path / "mask.mrc", mask, 1.0)
    np.testing.assert_array_equal(np.argwhere(read_mask(tmp_path / "mask.mrc")), [[2, 7]])

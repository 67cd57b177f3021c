"""Every format of coordinates, both ways, against text written by hand.

The mark is off the centre of a rectangular micrograph in both axes: an exchange of x and y, a flip or half a pixel
each fail.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cbox import read_cbox, write_cbox
from relion_attn_picker.io.eman_box import read_box, write_box
from relion_attn_picker.io.table import read_table, write_table
from relion_attn_picker.io.topaz import read_topaz, write_topaz
from relion_attn_picker.point_set import MicrographPoints, gather

Y, X = 37.0, 112.0
MARK = np.array([[Y, X]])
SCORE = np.array([0.75])

CBOX = """
data_global

_cbox_format_version 1.0

data_cryolo

loop_
_CoordinateX #1
_CoordinateY #2
_CoordinateZ #3
_Width #4
_Height #5
_Depth #6
_EstWidth #7
_EstHeight #8
_Confidence #9
_NumBoxes #10
_Angle #11
92.0 7.0 <NA> 40.0 60.0 <NA> 40.0 60.0 0.75 <NA> <NA>

data_cryolo_include

loop_
_slice_index #1
"""


def put(folder: Path, text: str, name: str = "mic") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_box_is_read_at_pixel_half_of_the_box(tmp_path: Path) -> None:
    found = read_box(put(tmp_path, "92\t7\t40\t60\n"), "mic")
    np.testing.assert_array_equal(found.yx, MARK)
    np.testing.assert_array_equal(found.box_hw, [[60, 40]])
    assert found.score is None


def test_box_is_written(tmp_path: Path) -> None:
    write_box(tmp_path / "mic.box", MARK, np.array([[60.0, 40.0]]))
    assert (tmp_path / "mic.box").read_text() == "92\t7\t40\t60\n"


def test_odd_box_of_relion_and_topaz(tmp_path: Path) -> None:
    """RELION and Topaz take corner + size / 2 in whole numbers: 92 + 41 // 2 = 112, 7 + 61 // 2 = 37."""
    found = read_box(put(tmp_path, "92 7 41 61 -3\n"), "mic")
    np.testing.assert_array_equal(found.yx, MARK)
    write_box(tmp_path / "mic.box", found.yx, np.array([[61.0, 41.0]]))
    assert (tmp_path / "mic.box").read_text() == "92\t7\t41\t61\n"


def test_mixed_boxes_with_crlf_and_comments(tmp_path: Path) -> None:
    found = read_box(put(tmp_path, "# boxes\r\n92 7 40 60\r\n\r\n12.5 17 200 200\r\n"), "mic")
    np.testing.assert_array_equal(found.yx, [[37, 112], [117, 112.5]])


def test_cbox_is_read(tmp_path: Path) -> None:
    found = read_cbox(put(tmp_path, CBOX), "mic")
    np.testing.assert_array_equal(found.yx, MARK)
    np.testing.assert_array_equal(found.score, SCORE)
    np.testing.assert_array_equal(found.box_hw, [[60, 40]])


def test_cbox_is_written_as_crylo_does(tmp_path: Path) -> None:
    write_cbox(tmp_path / "mic.cbox", MARK, SCORE, np.array([[60.0, 40.0]]))
    assert (tmp_path / "mic.cbox").read_text() == CBOX


def test_cbox_of_before_1_8(tmp_path: Path) -> None:
    found = read_cbox(put(tmp_path, "92\t7\t40\t60\t0.75\t38\t61\n"), "mic")
    np.testing.assert_array_equal(found.yx, MARK)
    np.testing.assert_array_equal(found.score, SCORE)


def test_odd_cbox_has_its_centre_on_half_a_pixel(tmp_path: Path) -> None:
    """crYOLO takes x + width / 2, whatever the width."""
    found = read_cbox(put(tmp_path, CBOX.replace("40.0 60.0 <NA> 40.0", "41.0 60.0 <NA> 40.0")), "mic")
    np.testing.assert_array_equal(found.yx, [[37, 112.5]])


@pytest.mark.parametrize("suffix", ["txt", "csv"])
def test_topaz_both_ways(tmp_path: Path, suffix: str) -> None:
    text = "image_name\tx_coord\ty_coord\tscore\nmic\t112\t37\t-1.25\nother\t5\t6\t2.0\n"
    text = text.replace("\t", ",") if suffix == "csv" else text
    found = read_topaz(put(tmp_path, text))
    assert found.names == ("mic", "other")
    np.testing.assert_array_equal(found.yx, [[37, 112], [6, 5]])
    np.testing.assert_array_equal(found.score, [-1.25, 2])
    write_topaz(tmp_path / f"out.{suffix}", found)
    assert (tmp_path / f"out.{suffix}").read_text() == text


def test_topaz_rows_of_one_micrograph_come_together(tmp_path: Path) -> None:
    found = read_topaz(put(tmp_path, "x_coord\timage_name\ty_coord\n1\tb\t2\n3\t1e5\t4\n5\tb\t6\n"))
    assert found.names == ("b", "1e5")
    assert found.owner.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(found.yx, [[2, 1], [6, 5], [4, 3]])


@pytest.mark.parametrize(
    "text",
    [
        *("112 37 0.75\n", "# x y score\n112 37 0.75\n", "y,score,x\r\n37,0.75,112\r\n", "x\ty\tscore\n112\t37\t0.75"),
        "X Y Width Confidence\n112 37 9 0.75\n",
    ],
)
def test_table_is_read(tmp_path: Path, text: str) -> None:
    found = read_table(put(tmp_path, text), "mic")
    np.testing.assert_array_equal(found.yx, MARK)
    np.testing.assert_array_equal(found.score, SCORE)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1,5;2,5\n", 1),
        ("x;y\n1,5;2,5\n", 2),
        ("# positions 1,5 7\n1 2\n1,5\t2\n", 3),
        ("3;4\n1,5 2,5 0,75\n", 2),
        ("1;2,5", 1),
        ("3 1,5\n", 1),
    ],
)
def test_decimal_commas_are_refused(tmp_path: Path, text: str, line: int) -> None:
    """Read as a separator they would make other coordinates, and a score of what is left."""
    with pytest.raises(InputError, match=f"mic, line {line}: .* beside other separators: write 1.5 for 1,5"):
        read_table(put(tmp_path, text), "mic")


@pytest.mark.parametrize(
    "text", ["112,37\n", "112, 37, 0.75\n", " 112 ,37 \r\n", "112,37 # 1,5 2\n", "112;37;0.75", "x, y\n112,37"]
)
def test_commas_that_separate(tmp_path: Path, text: str) -> None:
    np.testing.assert_array_equal(read_table(put(tmp_path, text), "mic").yx, MARK)


def test_table_is_written(tmp_path: Path) -> None:
    write_table(tmp_path / "mic.txt", MARK, SCORE)
    assert (tmp_path / "mic.txt").read_text() == "# x y score\n112.000000 37.000000 0.75\n"


@pytest.mark.parametrize("read", [read_box, read_table])
def test_empty_file_has_no_points(tmp_path: Path, read: object) -> None:
    found = read(put(tmp_path, ""), "mic")  # type: ignore[operator]
    assert found.yx.shape == (0, 2)


def test_empty_cbox(tmp_path: Path) -> None:
    write_cbox(tmp_path / "mic.cbox", np.empty((0, 2)), None, np.empty((0, 2)))
    assert read_cbox(tmp_path / "mic.cbox", "mic").yx.shape == (0, 2)


@pytest.mark.parametrize("seed", range(5))
def test_random_round_trips(tmp_path: Path, seed: int) -> None:
    """A format gives back what it was given, to its own resolution: all digits, six digits, or whole pixels."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 40))
    yx, score = rng.uniform(0, 5000, (n, 2)), rng.normal(size=n)
    box = rng.integers(1, 400, (n, 2)).astype(float)
    write_cbox(tmp_path / "a.cbox", yx, score, box)
    found = read_cbox(tmp_path / "a.cbox", "a")
    np.testing.assert_allclose(found.yx, yx, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(np.empty(0) if found.score is None else found.score, score)
    write_box(tmp_path / "a.box", yx, box)
    boxed = read_box(tmp_path / "a.box", "a")
    np.testing.assert_array_equal(boxed.yx, np.rint(yx))
    if n:
        np.testing.assert_array_equal(boxed.box_hw, box)
    write_table(tmp_path / "a.txt", yx, score)
    plain = read_table(tmp_path / "a.txt", "a")
    np.testing.assert_allclose(plain.yx, yx, rtol=0, atol=5.1e-7)
    write_topaz(tmp_path / "t.txt", gather([MicrographPoints("a", yx, score)]))
    table = read_topaz(tmp_path / "t.txt")
    np.testing.assert_array_equal(table.yx, np.rint(yx))
    if n:
        np.testing.assert_array_equal(table.score, score)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3 4\n5 6 seven 8\n", r"line 2: 'seven' is not a number"),
        ("1 2 3\n", "rows of 3 numbers: expected at least 4"),
        ("1 2 3 4\n5 6 7\n", "line 2: 3 columns, but 4 in the first row"),
        ("nan 2 3 4\n", "not finite, the first is row 1"),
        ("1 2 0 4\n", "row 1 has no width or height"),
    ],
)
def test_bad_box(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_box(put(tmp_path, text), "mic")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CBOX.replace("_Width", "_Wide"), "no column _Width"),
        (CBOX.replace("data_cryolo\n", "data_other\n"), "no block data_cryolo"),
        (CBOX.replace("_Angle", "_filamentid"), "holds filaments"),
        (CBOX.replace("92.0 7.0 <NA>", "92.0 7.0 3.0"), "boxes of a tomogram"),
        ("1 2 0 10 0.5 9 9\n", "the box in row 1 has no width or height"),
        (CBOX.replace("92.0 7.0", "92.0 x"), "line 20: 'x' is not a number"),
    ],
)
def test_bad_cbox(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_cbox(put(tmp_path, text), "mic")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns image_name"),
        ("filename,region_shape_attributes\n", "VGG Image Annotator"),
        ("image_name\tx_coord\ty_coord\na\t1\tb\n", "a y_coord that is not a number"),
        ("image_name\tx_coord\ty_coord\na\tnan\t2\n", "not finite"),
        ("image_name\tx_coord\ty_coord\na\t1\t2\t0.5\n", "more words than its header"),
        ("image_name\tx_coord\ty_coord\na\t1\t2\n\t3\t4\n", "1 rows without an image_name, the first is row 2"),
    ],
)
def test_bad_topaz(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_topaz(put(tmp_path, text))


def test_topaz_with_blanks_after_commas(tmp_path: Path) -> None:
    found = read_topaz(put(tmp_path, 'image_name, "x_coord", y_coord \na, 112, 37\n'))
    assert found.names == ("a",)
    np.testing.assert_array_equal(found.yx, MARK)


def test_topaz_keeps_what_is_no_extension(tmp_path: Path) -> None:
    points = gather([MicrographPoints(name, MARK) for name in ("s/mic.1", "mic.2.mrc", "mic.3.TIFF")])
    write_topaz(tmp_path / "t.txt", points)
    assert read_topaz(tmp_path / "t.txt").names == ("mic.1", "mic.2", "mic.3")


def test_two_micrographs_of_one_topaz_name(tmp_path: Path) -> None:
    points = gather([MicrographPoints(name, MARK) for name in ("a/mic.mrc", "b/mic.mrc")])
    with pytest.raises(InputError, match="are both 'mic' to Topaz"):
        write_topaz(tmp_path / "t.txt", points)


def test_table_with_unnamed_numbers_of_its_rows(tmp_path: Path) -> None:
    """As pandas writes tables unless it is told not to."""
    points = read_table(put(tmp_path, ",x,y,score\n0,11,22,0.5\n1,33,44,0.25\n"), "mic")
    assert points.score is not None
    assert (points.yx.tolist(), points.score.tolist()) == ([[22, 11], [44, 33]], [0.5, 0.25])


def test_table_with_more_columns_than_its_header(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 3 columns, but 2 in its header: mend the header"):
        read_table(put(tmp_path, "x y\n0 11 22\n"), "mic")


def test_table_with_a_wrong_header(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected x and y"):
        read_table(put(tmp_path, "a b\n1 2\n"), "mic")


def test_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.box").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is no text file"):
        read_box(tmp_path / "a.box", "a")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_box(path, MARK, np.full((1, 2), 40.0)),
        lambda path: write_cbox(path, MARK, SCORE, np.full((1, 2), 40.0)),
        lambda path: write_table(path, MARK, SCORE),
        lambda path: write_topaz(path, gather([MicrographPoints("mic", MARK, SCORE)])),
    ],
    ids=["box", "cbox", "table", "topaz"],
)
def test_interrupt_keeps_the_old_file(
    write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    path = put(tmp_path, "old")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", interrupted)
        write(path)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
    write(path)
    assert path.read_text(encoding="utf-8") != "old"


def test_boxes_go_where_a_link_leads(tmp_path: Path) -> None:
    put(tmp_path, "old", "other.box")
    (tmp_path / "mic.box").symlink_to("other.box")
    write_box(tmp_path / "mic.box", MARK, np.array([[60.0, 40.0]]))
    assert (tmp_path / "mic.box").is_symlink()
    assert (tmp_path / "other.box").read_text(encoding="utf-8") == "92\t7\t40\t60\n"

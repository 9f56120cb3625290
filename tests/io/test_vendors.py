from pathlib import Path

import pytest

from tidegate.errors import SourceError
from tidegate.io.vendors import load_vendors

IEEE = "OUI/MA-L   Organization\n02-AB-10   (hex)\t\tExample Networks\n02AB10     (base 16)\t\tExample Networks\n"
CSV = 'Registry,Assignment,Organization Name\nMA-L,02ab10,"Example, Inc.",Somewhere\nMA-M,02AB10C,x,y\n'
MANUF = "# comment\n02:AB:10\tExampleN\tExample Networks\n02:AB:11\tShort\n02:AB:12:C0:00:00/28\tSmall\tSmall block\n"


@pytest.mark.parametrize(
    ("text", "vendors"),
    [
        (IEEE, {"02AB10": "Example Networks"}),
        (CSV, {"02AB10": "Example, Inc."}),
        (MANUF, {"02AB10": "Example Networks", "02AB11": "Short"}),
    ],
)
def test_public_forms(tmp_path: Path, text: str, vendors: dict[str, str]) -> None:
    path = tmp_path / "vendors"
    path.write_text(text)
    assert load_vendors(path) == vendors


def test_a_file_without_vendors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vendors"
    path.write_bytes(b"\xff\x00 nothing here\n")
    with pytest.raises(SourceError, match="no vendors found"):
        load_vendors(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="missing: No such file"):
        load_vendors(tmp_path / "missing")

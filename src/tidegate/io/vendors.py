"""Reading lists of MAC vendors, for the function `oui:…:name`.

Three public forms are read, line by line, whichever a line has: IEEE's oui.txt (`02-AB-10   (hex)   NAME`), IEEE's CSV
(`MA-L,02AB10,NAME,…`) and the manuf file of network analysers (`02:AB:10 SHORT NAME`). Blocks smaller than 24 bits are
passed over: the function looks at 24 bits.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from tidegate.errors import SourceError

__all__ = ["load_vendors"]

_IEEE = re.compile(r"^([0-9A-Fa-f]{2})-([0-9A-Fa-f]{2})-([0-9A-Fa-f]{2})\s+\(hex\)\s+(\S.*?)\s*$")
_MANUF = re.compile(r"^([0-9A-Fa-f]{2}):([0-9A-Fa-f]{2}):([0-9A-Fa-f]{2})\s+\S+(?:\t+(\S.*?))?\s*$")


def load_vendors(path: Path) -> dict[str, str]:
    """Return names by six upper-case hexadecimal digits; `SourceError` where the file has none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SourceError(str(path), error.strerror or str(error)) from None
    vendors = dict(found for line in text.splitlines() if (found := _vendor(line)) is not None)
    if not vendors:
        raise SourceError(str(path), "no vendors found; expected IEEE's oui.txt or oui.csv, or a manuf file")
    return vendors


def _vendor(line: str) -> tuple[str, str] | None:
    if line.startswith("MA-L,"):
        row = next(csv.reader([line]), [])
        return (row[1].upper(), row[2].strip()) if len(row) > 2 and len(row[1]) == 6 else None
    ieee = _IEEE.match(line)
    if ieee is not None:
        return "".join(ieee.groups()[:3]).upper(), ieee[4]
    manuf = _MANUF.match(line)
    if manuf is not None:
        return "".join(manuf.groups()[:3]).upper(), manuf[4] or line.split()[1]
    return None

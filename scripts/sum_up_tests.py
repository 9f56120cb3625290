#!/usr/bin/env python3
"""Print one line that sums up JUnit reports; the status is 1 where a test failed or no report came to be."""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET


def main() -> int:
    """Sum up the reports named as arguments."""
    reports = [Path(name) for name in sys.argv[1:] if Path(name).is_file()]
    suites = [suite for report in reports for suite in ET.parse(report).getroot().iter("testsuite")]  # noqa: S314 - ours
    count = {
        key: sum(int(suite.get(key, "0")) for suite in suites) for key in ("tests", "failures", "errors", "skipped")
    }
    failed = count["failures"] + count["errors"]
    passed = count["tests"] - failed - count["skipped"]
    if not suites:
        failed = 1  # a check before the tests stopped everything
    print(f"{passed} passed, {failed} failed, {count['skipped']} skipped")
    return int(failed > 0)


sys.exit(main())

from __future__ import annotations

import pytest

from tidegate.apps.script_http import HttpError, as_http_error, not_found


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (not_found("no flow"), 404, "no flow"),
        (HttpError(200, "no error at all"), 500, "no error at all"),
        (ValueError("secret"), 500, "the script failed"),
        (SystemExit(3), 500, "the script failed"),
    ],
)
def test_what_is_raised_becomes_an_error_for_clients(error: BaseException, status: int, reason: str) -> None:
    known = as_http_error(error)
    assert (known.status, known.reason) == (status, reason)


def test_an_error_says_its_status() -> None:
    assert str(not_found()) == "404 not found"

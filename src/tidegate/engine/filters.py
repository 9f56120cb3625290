r"""Filters of flow definitions: text to frozen types.

    filter     := term { '|' term }
    term       := fact { '&' fact }
    fact       := '(' filter ')' | comparison
    comparison := expr ( '=' | '!=' | '~' | '!~' ) text { ',' text }

`expr` is that of `tidegate.engine.expressions`. In the texts of `=` a backslash makes `, & | ( ) = ~ !`, space and
itself ordinary, and elsewhere stands for itself. Spaces around tokens do not count.

Regular expressions (`~`) are those of `tidegate.data.pattern`, matched against the whole text. Inside their own
parentheses, brackets and braces, and behind a backslash, `& | ,` belong to the expression. They differ from Java's in
that there are no back references, no look-around, no `\h`, `\R`, `\Z` and no set operations (`[a-z&&[^b]]`); each of
these is an error, none is misread.

Nothing but `TextError` is raised for any text.
"""

from __future__ import annotations

import re

from tidegate.data.pattern import Pattern
from tidegate.engine.definition import And, Compare, FilterExpr, Op, Or
from tidegate.engine.expressions import read_expr
from tidegate.engine.scanner import MAX_DEPTH, Scanner
from tidegate.errors import TextError

__all__ = ["parse_filter"]

_STOPS = "=!~&|()"
_SPECIALS = ",&|()=~!\\"  # what a backslash may stand before in the text of a comparison
_REPETITIONS = re.compile(r"\{[0-9]{1,4}(?:,[0-9]{0,4})?\}")
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def parse_filter(text: str) -> FilterExpr | None:
    """Return the filter, or None where the text is empty."""
    scan = Scanner(text)
    if not scan.skip_spaces():
        return None
    parsed = _or(scan)
    scan.end("& or | or the end of the filter")
    return parsed


def _or(scan: Scanner) -> FilterExpr:
    terms = [_and(scan)]
    while scan.skip_spaces() and scan.take("|"):
        terms.append(_and(scan))
    return Or(tuple(terms)) if len(terms) > 1 else terms[0]


def _and(scan: Scanner) -> FilterExpr:
    terms = [_fact(scan)]
    while scan.skip_spaces() and scan.take("&"):
        terms.append(_fact(scan))
    return And(tuple(terms)) if len(terms) > 1 else terms[0]


def _fact(scan: Scanner) -> FilterExpr:
    if scan.skip_spaces() == "(":
        return scan.nested(lambda: _or(scan), ")")
    lhs = read_expr(scan, _STOPS)
    scan.skip_spaces()
    op = next((op for op in (Op.NOT_EQUAL, Op.NOT_MATCH, Op.EQUAL, Op.MATCH) if scan.take(op.value)), None)
    if op is None:
        raise scan.unexpected("one of = != ~ !~")
    read = _regex if op in (Op.MATCH, Op.NOT_MATCH) else _plain
    values = [read(scan)]
    while scan.take(","):
        values.append(read(scan))
    return Compare(lhs, op, tuple(values))


def _plain(scan: Scanner) -> str:
    """Read one text of `=`."""
    if scan.skip_spaces() in ("=", "~", "!") and scan.peek():
        raise scan.unexpected("a text behind the operator")
    column = scan.at
    letters: list[str] = []
    kept = 0
    while (letter := scan.peek()) and letter not in ",&|()":
        following = scan.text[scan.at + 1 : scan.at + 2]
        escaped = letter == "\\" and following != "" and (following in _SPECIALS or following.isspace())
        letters.append(following if escaped else letter)
        kept = len(letters) if escaped or not letter.isspace() else kept
        scan.at += 1 + escaped
    if not kept:
        raise scan.fail("a text to compare with is missing", column)
    return "".join(letters[:kept])


def _regex(scan: Scanner) -> str:
    """Read one regular expression and check that it compiles."""
    scan.skip_spaces()
    column = scan.at
    scan.at = _regex_end(scan.text, scan.at)
    pattern = _trimmed(scan.text[column : scan.at])
    if not pattern:
        raise scan.fail("a regular expression is missing", column)
    try:
        Pattern(pattern)
    except ValueError as error:
        reason, part = error.args
        raise scan.fail(f"bad regular expression: {reason}", column + max(pattern.rfind(part), 0)) from None
    return pattern


def _trimmed(pattern: str) -> str:
    """Cut spaces at both ends, but for one that a backslash stands before."""
    cut = pattern.rstrip()
    escaped = (len(cut) - len(cut.rstrip("\\"))) % 2
    return pattern[: len(cut) + escaped].lstrip()


def _regex_end(text: str, start: int) -> int:
    """Return where a regular expression ends: at the first , & | ( ) that is not inside it."""
    closing: list[str] = []
    at = start
    while at < len(text):
        letter = text[at]
        in_set = closing[-1:] == ["]"]
        if in_set and (letter == "[" or text.startswith("&&", at)):  # what Java reads as an operation on sets
            raise TextError(text, at, "a set in a regular expression holds no other", "put a backslash before it")
        if letter == "\\":
            at += 2
            continue
        if closing and letter == closing[-1]:
            closing.pop()
        elif letter in _CLOSING and not in_set:
            if letter == "{" and text[at - 2 : at - 1] != "\\" and not _REPETITIONS.match(text, at):  # read as itself
                raise TextError(text, at, "no number of repetitions", "put a backslash before {")
            closing.append(_CLOSING[letter])
            if len(closing) > MAX_DEPTH:
                raise TextError(text, at, f"brackets nest at most {MAX_DEPTH} deep")
            at += _set_head(text, at + 1) if letter == "[" else 0
        elif letter in ",&|)" and not closing:
            return at
        at += 1
    return min(at, len(text))


def _set_head(text: str, at: int) -> int:
    """Return how many characters at the start of a set do not end it: `]` is plain there."""
    negated = text.startswith("^", at)
    return negated + text.startswith("]", at + negated)

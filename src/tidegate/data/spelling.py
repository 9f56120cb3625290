"""Texts that stand in samples as octets: how they are spelled, and back.

Answers for: RFC 1035 section 5.1 and RFC 4343 section 2.1 (domain names), RFC 1997 (communities), sFlow version 5
section 5.2 (AS paths, strings).
"""

from __future__ import annotations

__all__ = [
    "as_path_octets",
    "as_path_text",
    "communities_octets",
    "communities_text",
    "name_octets",
    "name_text",
    "string_octets",
    "string_text",
]


def string_text(octets: bytes) -> str:
    """Return a string as UTF-8, with replacement characters where it is none."""
    return octets.decode("utf-8", "replace")


def string_octets(text: str) -> bytes | None:
    """Return the octets of a string, or None where it has halves of surrogate pairs, which UTF-8 cannot spell."""
    octets = text.encode(errors="replace")
    return octets if octets.decode() == text else None


def name_text(octets: bytes) -> str:
    """Return a domain name in wire form as in a master file, without the last dot; the root is `.`."""
    labels: list[str] = []
    at = 0
    while at < len(octets) and octets[at]:
        labels.append("".join(_letter(octet) for octet in octets[at + 1 : at + 1 + octets[at]]))
        at += 1 + octets[at]
    return ".".join(labels) or "."


def _letter(octet: int) -> str:
    if octet in b".\\":
        return "\\" + chr(octet)
    return chr(octet) if 0x21 <= octet <= 0x7E else f"\\{octet:03d}"


def name_octets(text: str) -> bytes | None:
    """Return a domain name's wire form, or None where the text is no name as `name_text` spells it."""
    labels = [bytearray()]
    at = 0
    while at < len(text):
        letter = text[at]
        at += 1
        if letter == ".":
            labels.append(bytearray())
        elif letter != "\\":
            labels[-1] += letter.encode(errors="replace")
        elif len(text) >= at + 3 and _is_number(text[at : at + 3], 256):
            labels[-1].append(int(text[at : at + 3]))
            at += 3
        else:
            labels[-1] += text[at : at + 1].encode(errors="replace")
            at += 1
    octets = b"\0" if text == "." else b"".join(bytes([len(label) & 255]) + label for label in labels) + b"\0"
    return octets if name_text(octets) == text else None


def _is_number(text: str, end: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < end


def communities_text(octets: bytes) -> str:
    """Return communities as `65000:1-65535:666`."""
    words = (octets[at : at + 4] for at in range(0, len(octets) - 3, 4))
    return "-".join(f"{word[0] << 8 | word[1]}:{word[2] << 8 | word[3]}" for word in words)


def communities_octets(text: str) -> bytes | None:
    """Return the octets of communities, or None where the text is none as `communities_text` spells them."""
    parts = [part.split(":") for part in text.split("-")]
    if any(len(part) != 2 or not all(_is_number(half, 1 << 16) for half in part) for part in parts):
        return None
    octets = b"".join(int(half).to_bytes(2, "big") for part in parts for half in part)
    return octets if communities_text(octets) == text else None


def as_path_text(octets: bytes) -> str:
    """Return the AS numbers of all segments (type, count, numbers), joined by `-`."""
    numbers: list[str] = []
    at = 0
    while at + 8 <= len(octets):
        count = int.from_bytes(octets[at + 4 : at + 8], "big")
        at += 8
        words = octets[at : at + 4 * count]
        numbers += (str(int.from_bytes(words[place : place + 4], "big")) for place in range(0, len(words), 4))
        at += 4 * count
    return "-".join(numbers)


def as_path_octets(text: str) -> bytes | None:
    """Return the octets of a path that is one AS_SEQUENCE, as nearly all are, or None where the text is none."""
    if not text:
        return b""
    numbers = text.split("-")
    if not all(_is_number(number, 1 << 32) for number in numbers):
        return None
    octets = b"".join(word.to_bytes(4, "big") for word in (2, len(numbers), *map(int, numbers)))
    return octets if as_path_text(octets) == text else None

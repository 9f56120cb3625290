"""What scripts remember: `Store` on disk, one file a script, and `Shared` in memory, one for all scripts.

Values are JSON values and are copied in and out, so that nobody changes what is kept by accident. A store's file is
replaced as a whole (write beside it, sync, rename): after a crash, and on a full disk, the old or the new content is
there, never a half. A change that cannot be written raises and is not kept in memory either.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tidegate.errors import ConfigError, SourceError

__all__ = ["MAX_SHARED", "MAX_STORE", "Shared", "Store"]

MAX_STORE = 1 << 20  # octets of JSON a script
MAX_SHARED = 16 << 20  # octets of JSON for all scripts together
_MAX_KEY = 256  # characters


class _Values:
    """Keys and encoded values, with a bound on their size."""

    def __init__(self, limit: int, what: str) -> None:
        self.values: dict[str, msgspec.Raw] = {}
        self._limit = limit
        self._what = what

    def get(self, key: str, default: object) -> object:
        raw = self.values.get(key)
        return default if raw is None else msgspec.json.decode(raw)

    def put(self, key: str, value: object) -> dict[str, msgspec.Raw]:
        """Return the values as they would be with this one."""
        if not isinstance(key, str) or not 0 < len(key) <= _MAX_KEY:
            raise ConfigError(self._what, f"a key is a text of 1 to {_MAX_KEY} characters, not {key!r:.100}")
        try:
            raw = msgspec.Raw(msgspec.json.encode(value))
            msgspec.json.decode(raw)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ConfigError(f"{self._what}.{key}", f"not a JSON value: {error}") from None
        changed = {**self.values, key: raw}
        size = sum(len(name.encode()) + len(memoryview(kept)) for name, kept in changed.items())
        if size > self._limit:
            raise ConfigError(f"{self._what}.{key}", f"{size} octets are more than the {self._limit} that may be kept")
        return changed


class Store:
    """A script's own memory, kept in a file; the file is read when the store is first used."""

    def __init__(self, path: Path | None, *, limit: int = MAX_STORE) -> None:
        self._path = path
        self._values = _Values(limit, "store")
        self._loaded = path is None

    def get(self, key: str, default: object = None) -> object:
        """Return the value of a key."""
        return self._load().get(key, default)

    def set(self, key: str, value: object) -> None:
        """Keep a JSON value; `SourceError` where it cannot be written, `ConfigError` where it is none or too large."""
        self._save(self._load().put(key, value))

    def delete(self, key: str) -> bool:
        """Forget a key; tell whether it was there."""
        values = dict(self._load().values)
        if values.pop(key, None) is None:
            return False
        self._save(values)
        return True

    def keys(self) -> list[str]:
        """Return the keys, sorted."""
        return sorted(self._load().values)

    def _load(self) -> _Values:
        if self._loaded or self._path is None:
            return self._values
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            content = b"{}"
        except OSError as error:
            raise SourceError(str(self._path), f"cannot be read: {error.strerror}") from None
        try:
            self._values.values = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SourceError(str(self._path), f"not a store ({error}); mend it or move it away") from None
        self._loaded = True
        return self._values

    def _save(self, values: dict[str, msgspec.Raw]) -> None:
        if self._path is not None:
            try:
                _replace(self._path, msgspec.json.encode(values))
            except OSError as error:
                reason = f"cannot be written, the old values are kept: {error.strerror}"
                raise SourceError(str(self._path), reason) from None
        self._values.values = values


class Shared:
    """What scripts tell each other: in memory, any thread."""

    def __init__(self, *, limit: int = MAX_SHARED) -> None:
        self._values = _Values(limit, "shared")
        self._lock = threading.Lock()

    def get(self, key: str, default: object = None) -> object:
        """Return a copy of the value of a key."""
        return self._values.get(key, default)

    def set(self, key: str, value: object) -> None:
        """Keep a copy of a JSON value; `ConfigError` where it is none or too large."""
        with self._lock:
            self._values.values = self._values.put(key, value)

    def delete(self, key: str) -> bool:
        """Forget a key; tell whether it was there."""
        with self._lock:
            values = dict(self._values.values)
            found = values.pop(key, None) is not None
            self._values.values = values
            return found

    def keys(self) -> list[str]:
        """Return the keys, sorted."""
        return sorted(self._values.values)


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    try:
        with _opened(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW) as file:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()  # what a full disk holds of it is room for others
        raise
    with _opened(path.parent, os.O_RDONLY | os.O_DIRECTORY) as folder:
        os.fsync(folder)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    file = os.open(path, flags, 0o600)
    try:
        yield file
    finally:
        os.close(file)

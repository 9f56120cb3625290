"""Where compiled kernels are kept between runs.

Numba's own cache looks at the file of a function alone; a kernel also contains what it inlines and the constants that
it reads from other modules, so that an edit or an upgrade there would leave stale machine code. Here each module with
kernels has a folder named after a fingerprint of its source and of all that it takes from the package, and a file a
compiled signature, named after what else decides on machine code: Python, numba, processor. The folders of a module's
former fingerprints are removed, save the newest few.

Files are replaced in one step, and what cannot be read is compiled again: processes that start at once, or of two
versions, do not disturb each other. Files hold pickles, so that only folders count that nobody else may write to.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import sigutils
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

__all__ = ["KernelCache", "cache_roots", "fingerprint"]

_config: Any = numba.config
_normalize: Any = sigutils.normalize_signature
_result: Any = CompileResult
_dumps: Any = dumps  # numba ships no types for any of these

KEPT = 3  # fingerprints of a module: two checkouts and the installed one
_PACKAGE = Path(__file__).parent
_IMPORT = re.compile(r"^from tidegate([\w.]*) import (\([^)]*\)|.*)$", re.MULTILINE)
_COMPILED = re.compile(r"^\s*@(kernel|inline|intrinsic)\b", re.MULTILINE)


@cache
def _source(path: Path) -> tuple[bytes, bool, tuple[Path, ...]]:
    """Return a file's digest, whether it has compiled functions, and the files of the package that it imports."""
    octets = path.read_bytes()
    text = octets.decode("utf-8", "replace")
    found: list[Path] = []
    for module, names in _IMPORT.findall(text):
        place = _PACKAGE.joinpath(*module.split("."))
        inside = [place / f"{name}.py" for name in re.findall(r"\w+", names)]
        found += [candidate for candidate in (place.with_suffix(".py"), *inside) if candidate.is_file()]
    return hashlib.sha256(octets).digest(), _COMPILED.search(text) is not None, tuple(found)


@cache
def fingerprint(path: Path) -> str:
    """Return 16 hex digits that change when a module with kernels does, or a file that it takes constants or code from.

    Of imported modules with compiled functions the imports count too.
    """
    reached: set[Path] = set()
    waiting = [path]
    while waiting:
        here = waiting.pop()
        if here in reached:
            continue
        reached.add(here)
        _, compiled, imported = _source(here)
        waiting += imported if compiled or here == path else ()
    digests = sorted(_source(here)[0] for here in reached)
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]


def cache_roots() -> list[Path]:
    """Return the folders that compiled kernels may be kept in, the first that works is taken."""
    roots: list[Path] = []
    if _config.CACHE_DIR:  # NUMBA_CACHE_DIR
        roots.append(Path(_config.CACHE_DIR) / "tidegate")
    with suppress(RuntimeError):  # no home
        # read here and not in the configuration: kernels are there before it
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        roots.append(home / "tidegate" / "kernels")
    return [*roots, Path(tempfile.gettempdir()) / f"tidegate-{os.geteuid()}" / "kernels"]


def _private(folder: Path) -> bool:
    """Return whether a folder, made where it is missing, is ours alone to write to."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        chain = [folder, *(parent for parent in folder.parents if parent.name.startswith("tidegate"))]
        states = [place.lstat() for place in chain]
    except OSError:
        return False
    ours = all(state.st_uid == os.geteuid() and state.st_mode & 0o022 == 0 for state in states)
    return ours and not any(place.is_symlink() for place in chain) and os.access(folder, os.W_OK | os.X_OK)


@cache
def _folder(path: Path) -> Path | None:
    """Return where kernels of a module are kept, None where no folder can be had."""
    try:
        mark = fingerprint(path)
    except OSError:  # source in an archive, or typed in
        return None
    inside = path.relative_to(_PACKAGE) if path.is_relative_to(_PACKAGE) else Path(path.name)
    name = ".".join(inside.with_suffix("").parts)
    root = next((root for root in cache_roots() if _private(root)), None)
    if root is None or not _private(root / f"{name}-{mark}"):
        return None
    _remove_old(root, name, root / f"{name}-{mark}")
    return root / f"{name}-{mark}"


def _remove_old(root: Path, name: str, current: Path) -> None:
    """Mark a folder as used, and remove those of the same module that were not for longest."""
    with suppress(OSError):  # another process removes them too
        os.utime(current)
        others = [
            place for place in root.glob(f"{name}-*") if re.fullmatch(r"[0-9a-f]{16}", place.name[len(name) + 1 :])
        ]
        for place in sorted(others, key=lambda place: place.stat().st_mtime, reverse=True)[KEPT:]:
            shutil.rmtree(place, ignore_errors=True)


class KernelCache:
    """What a numba dispatcher asks for machine code, and hands it to."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._path = Path(function.__code__.co_filename)
        self.problem = ""  # why what was compiled is not kept

    @property
    def cache_path(self) -> str:
        """Folder of the files; empty where there is none."""
        return str(_folder(self._path) or "")

    def enable(self) -> None:
        """Do nothing: the cache cannot be switched."""

    disable = flush = enable

    def _file(self, signature: Any, codegen: Any) -> Path | None:  # noqa: ANN401 - numba's
        folder = _folder(self._path)
        arguments, _ = _normalize(signature)
        code = self._function.__code__
        decisive = (arguments, codegen.magic_tuple(), sys.version, numba.__version__, code.co_firstlineno)
        key = hashlib.sha256(repr(decisive).encode()).hexdigest()[:16]
        return None if folder is None else folder / f"{code.co_name}.{key}.kernel"

    def load_overload(self, signature: Any, target_context: Any) -> Any:  # noqa: ANN401 - numba's
        """Return what `save_overload` kept for a signature, or None."""
        target_context.refresh()
        file = self._file(signature, target_context.codegen())
        if file is None or not file.exists():
            return None
        try:
            return _result._rebuild(target_context, *pickle.loads(file.read_bytes()))  # noqa: S301, SLF001 - ours
        except Exception:  # noqa: BLE001 - whatever a damaged file does, the kernel can be compiled
            return None

    def save_overload(self, signature: Any, result: Any) -> None:  # noqa: ANN401 - numba's
        """Keep what was compiled, if there is a place for it."""
        file = self._file(signature, result.codegen)
        if file is None:
            roots = ", ".join(str(root) for root in cache_roots())
            self.problem = f"none of {roots} is a folder that this user, and nobody else, can write to"
            return
        if result.library.has_dynamic_globals:
            return
        octets = _dumps(result._reduce())  # noqa: SLF001 - as numba's own cache does
        try:
            _replace(file, octets)
        except OSError as error:
            self.problem = f"{file.parent}: {error.strerror}"


def _replace(file: Path, octets: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as written:
        try:
            written.write(octets)
            written.flush()
            Path(written.name).replace(file)
        except OSError:  # no space left
            Path(written.name).unlink(missing_ok=True)
            raise

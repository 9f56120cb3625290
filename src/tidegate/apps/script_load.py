"""A user's script from its file to a `setup` function, and what its exceptions say: the script's own file and line."""

from __future__ import annotations

import ctypes
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any, TypeVar

from tidegate.errors import ConfigError
from tidegate.io.thread_time import thread_time_ns

__all__ = ["MAX_SCRIPT", "ScriptStopped", "UserCode", "describe_error", "line_of", "load_setup", "place_of"]

T = TypeVar("T")
MAX_SCRIPT = 4 << 20  # octets of a script's text
_LOOK_S = 0.05  # how long to look whether a thread computes
_LEAST_NS = 1_000_000  # of processor time in that
_MAX_TEXT = 2000  # characters of an exception


class ScriptStopped(BaseException):
    """Raised inside a script that ran too long; no `Exception`, so that the script does not catch it by accident."""


def load_setup(path: Path, name: str) -> Callable[[Any], object]:
    """Run a script's file as the module `name` and return its `setup`; whatever it raises goes through."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SCRIPT + 1)
    except OSError as error:
        raise ConfigError(str(path), f"the script cannot be read: {error.strerror}") from None
    if len(content) > MAX_SCRIPT:
        raise ConfigError(str(path), f"the script has more than {MAX_SCRIPT} octets")
    code = compile(content, str(path), "exec", dont_inherit=True)
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # classes find their annotations by their module's name
    exec(code, module.__dict__)  # noqa: S102 - running the user's script is what this is for
    setup = getattr(module, "setup", None)
    if not callable(setup):
        raise ConfigError(str(path), "the script has no function `setup(rt)`")
    found: Callable[[Any], object] = setup
    return found


def describe_error(error: BaseException, path: Path) -> str:
    """Return `file, line n: Type: text`, with the innermost line that is the script's own."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the exception's own code is the user's as well
        text = "(its text cannot be made)"
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(path) else None
    line = line or _line_of_traceback(error.__traceback__, path)
    return f"{place_of(path, line)}: {type(error).__name__}: {text}"[:_MAX_TEXT]


def place_of(path: Path, line: int | None) -> str:
    """Return `file, line n`, or the file where the line is not known."""
    return f"{path.name}, line {line}" if line else path.name


def line_of(thread: int, path: Path) -> int | None:
    """Return the line of the script at which a thread is."""
    frame: FrameType | None = sys._current_frames().get(thread)  # noqa: SLF001 - the one way to see another thread
    while frame is not None and frame.f_code.co_filename != str(path):
        frame = frame.f_back
    return None if frame is None else frame.f_lineno


class UserCode:
    """Runs the user's functions so that another thread can interrupt them, and nothing but them.

    An exception raised from outside may come between any two instructions. Were it to come while the script's thread
    holds a lock of the host's, that lock would never be free again. So it is raised only between the two ends of
    `call`, and the one lock it may hit is asked for by nobody after the one interrupt.

    Only a thread that computes is interrupted. For one that waits in C the exception would stay pending, which sends
    every thread of the process through the interpreter's slow path, and makes traced ones hang (CPython 3.11).
    """

    def __init__(self) -> None:
        self._leaving = threading.Lock()
        self._thread: int | None = None
        self._interrupted = False

    def call(self, function: Callable[[], T]) -> T:
        """Return what `function` returns."""
        self._thread = threading.get_ident()
        try:
            return function()
        finally:
            self._leaving.acquire()  # no `with`: an interrupt may come behind it
            self._thread = None
            self._leaving.release()

    def interrupt(self) -> None:
        """Raise `ScriptStopped` in `call` at its next Python instruction, once, where it takes processor time."""
        if self._interrupted or not self._computes():
            return
        self._interrupted = True
        with self._leaving:
            if self._thread is not None:
                thread = ctypes.c_ulong(self._thread)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(ScriptStopped))

    def _computes(self) -> bool:
        before = self._used_ns()
        threading.Event().wait(_LOOK_S)
        after = self._used_ns()
        return before is not None and after is not None and after - before > _LEAST_NS

    def _used_ns(self) -> int | None:
        with self._leaving:  # so that the thread is alive
            return None if self._thread is None else thread_time_ns(self._thread)


def _line_of_traceback(trace: TracebackType | None, path: Path) -> int | None:
    lines = [line for frame, line in traceback.walk_tb(trace) if frame.f_code.co_filename == str(path)]
    return lines[-1] if lines else None

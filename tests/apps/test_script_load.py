from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from script_files import write
from tidegate.apps.script_load import MAX_SCRIPT, ScriptStopped, UserCode, describe_error, line_of, load_setup, place_of
from tidegate.errors import ConfigError


def test_the_setup_of_a_file_is_found_and_its_classes_know_their_module(tmp_path: Path) -> None:
    text = """
    from __future__ import annotations
    import dataclasses
    @dataclasses.dataclass
    class Settings:
        name: str = "a"
    def setup(rt):
        return Settings().name, __name__, __file__
    """
    path = write(tmp_path, "s.py", text)
    assert load_setup(path, "tidegate_script.test")(None) == ("a", "tidegate_script.test", str(path))
    del sys.modules["tidegate_script.test"]


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.py"
    path.write_bytes(b"#" * (MAX_SCRIPT + 1))
    with pytest.raises(ConfigError, match="more than"):
        load_setup(path, "tidegate_script.test")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_setup(tmp_path, "tidegate_script.test")


def test_an_error_of_another_file_has_the_scripts_line_where_it_has_one(tmp_path: Path) -> None:
    path = tmp_path / "s.py"
    assert describe_error(ValueError("x" * 5000), path).startswith("s.py: ValueError: xxx")
    assert len(describe_error(ValueError("x" * 5000), path)) == 2000
    assert line_of(threading.get_ident(), path) is None
    assert line_of(0, path) is None
    assert (place_of(path, None), place_of(path, 3)) == (path.name, f"{path.name}, line 3")


def test_an_interrupt_ends_a_loop_and_nothing_after_it() -> None:
    code = UserCode()
    inside = threading.Event()
    ended: list[str] = []

    def loop() -> None:
        inside.set()
        while True:
            pass

    def work() -> None:
        try:
            code.call(loop)
        except ScriptStopped:
            ended.append("stopped")
        code.interrupt()  # the second one does nothing
        ended.append("went on")

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    code.interrupt()
    thread.join(60)
    assert ended == ["stopped", "went on"]


def test_who_waits_is_not_interrupted() -> None:
    code = UserCode()
    inside, go_on = threading.Event(), threading.Event()
    ended: list[str] = []

    def wait() -> None:
        inside.set()
        go_on.wait()
        ended.append("went on")

    thread = threading.Thread(target=code.call, args=(wait,))
    thread.start()
    inside.wait()
    code.interrupt()
    go_on.set()
    thread.join(60)
    assert ended == ["went on"]


def test_an_interrupt_outside_of_a_call_does_nothing() -> None:
    code = UserCode()
    assert code.call(lambda: 1) == 1
    code.interrupt()
    assert code.call(lambda: 2) == 2

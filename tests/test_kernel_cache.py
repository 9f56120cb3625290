"""Compiled kernels are kept, found again, and forgotten when anything they contain changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tidegate import kernel_cache

SOURCE = Path(kernel_cache.__file__).parent

INNER = """
    from tidegate.kernel import inline

    {constant}

    @inline
    def inner(value: int) -> int:
        return value + CONSTANT
"""
OUTER = """
    import sys
    from pathlib import Path

    from tidegate.kernel import compile_kernels, kernel
    from tidegate.inner import inner

    @kernel("i8(i8)")
    def outer(value: int) -> int:
        return inner(value)

    list(compile_kernels([outer]))
    print(outer(1), sum(outer.stats.cache_hits.values()), outer._cache.cache_path)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of three modules that bears our name: the decorators, a function to inline, a kernel."""
    place = tmp_path / "tidegate"
    place.mkdir()
    for name in ("__init__.py", "kernel.py", "kernel_cache.py", "octets.py"):
        (place / name).write_text((SOURCE / name).read_text() if name != "__init__.py" else "")
    _write(place, "CONSTANT = 1")
    return place


def _write(place: Path, constant: str) -> None:
    (place / "inner.py").write_text(dedent(INNER).format(constant=constant))
    (place / "outer.py").write_text(dedent(OUTER))


def _start(place: Path, **environment: str) -> subprocess.Popen[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "XDG"))}
    variables |= {"PYTHONPATH": str(place.parent), "XDG_CACHE_HOME": str(place.parent / "cache")} | environment
    command = [sys.executable, "-m", "tidegate.outer"]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)


def _run(place: Path, **environment: str) -> tuple[int, int, str]:
    """Return the result, how often the cache was hit, and its folder."""
    with _start(place, **environment) as process:
        text, _ = process.communicate()
    assert process.returncode == 0
    result, hits, *folder = text.split()
    return int(result), int(hits), "".join(folder)


def test_a_kernel_is_compiled_once(package: Path) -> None:
    first, second = _run(package), _run(package)
    assert (first[:2], second[:2]) == ((2, 0), (2, 1))
    assert Path(second[2]).is_relative_to(package.parent / "cache" / "tidegate" / "kernels")


def test_a_change_in_what_is_inlined_is_noticed(package: Path) -> None:
    assert _run(package)[:2] == (2, 0)
    _write(package, "CONSTANT = 5")
    assert _run(package)[:2] == (6, 0)


def test_a_change_of_a_constant_from_elsewhere_is_noticed(package: Path) -> None:
    (package / "numbers.py").write_text("CONSTANT = 1\n")
    _write(package, "from tidegate.numbers import CONSTANT")
    assert _run(package)[:2] == (2, 0)
    (package / "numbers.py").write_text("CONSTANT = 9\n")
    assert _run(package)[:2] == (10, 0)


def test_a_damaged_file_is_compiled_again(package: Path) -> None:
    folder = Path(_run(package)[2])
    for file in folder.glob("*.kernel"):
        file.write_bytes(file.read_bytes()[:100])
    assert _run(package)[:2] == (2, 0)
    assert _run(package)[:2] == (2, 1)


def test_processes_may_compile_at_once(package: Path) -> None:
    started = [_start(package) for _ in range(3)]
    for process in started:
        text, _ = process.communicate()
        assert text.split()[0] == "2"
    assert _run(package)[:2] == (2, 1)
    assert not list(package.parent.glob("cache/**/tmp*"))


def test_only_the_newest_fingerprints_are_kept(package: Path) -> None:
    root = Path(_run(package)[2]).parent
    for number in range(5):
        old = root / f"outer-{number:016x}"
        old.mkdir()
        os.utime(old, (number, number))
    (root / "outer-of-another-kind").mkdir()
    _write(package, "CONSTANT = 3")
    current = _run(package)[2]
    left = sorted(place.name for place in root.glob("outer-*"))
    assert Path(current).name in left
    assert "outer-of-another-kind" in left
    assert len(left) == kernel_cache.KEPT + 1


def test_numba_may_be_told_where(package: Path, tmp_path: Path) -> None:
    assert _run(package, NUMBA_CACHE_DIR=str(tmp_path / "there"))[2].startswith(str(tmp_path / "there"))


def test_the_temporary_folder_serves_where_home_cannot(package: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "temporary").mkdir()
    places = {"XDG_CACHE_HOME": str(tmp_path / "file"), "TMPDIR": str(tmp_path / "temporary")}
    folder = _run(package, **places)[2]
    assert folder.startswith(str(tmp_path / "temporary" / f"tidegate-{os.geteuid()}"))


def test_folders_that_others_may_write_to_are_not_used(package: Path, tmp_path: Path) -> None:
    shared = tmp_path / "temporary" / f"tidegate-{os.geteuid()}"
    shared.mkdir(parents=True)
    shared.chmod(0o777)
    (tmp_path / "file").write_text("")
    places = {"XDG_CACHE_HOME": str(tmp_path / "file"), "TMPDIR": str(tmp_path / "temporary")}
    assert _run(package, **places) == (2, 0, "")


def test_no_fingerprint_without_source(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"none\.py"):
        kernel_cache.fingerprint(tmp_path / "none.py")


def test_import_costs_no_compiling() -> None:
    """Nothing is read before the first kernel is compiled."""
    program = "import tidegate.wire.sflow.columns, tidegate.kernel_cache as c; print(c._source.cache_info().currsize)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "0"


def test_what_could_not_be_kept_is_told(package: Path, tmp_path: Path) -> None:
    (package / "outer.py").write_text(
        dedent(OUTER) + "from tidegate.kernel import unkept_reason\nprint(unkept_reason([outer]))\n"
    )
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    (open_to_all / f"tidegate-{os.geteuid()}").mkdir()
    (open_to_all / f"tidegate-{os.geteuid()}").chmod(0o777)
    (tmp_path / "cache").write_text("no folder")

    with _start(package, TMPDIR=str(open_to_all)) as process:
        told, _ = process.communicate()

    assert "nobody else" in told.splitlines()[-1]


def test_a_full_disk_is_told_and_leaves_no_part_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        kernel_cache._replace(tmp_path / "a.kernel", b"code")
    assert list(tmp_path.iterdir()) == []

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tidegate.apps.store import MAX_STORE, Shared, Store
from tidegate.errors import ConfigError, SourceError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["a", "b", "ключ", "with/slash"])


class StoreMachine(RuleBasedStateMachine):
    """A store in memory is a dict of copies."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(None)
        self.shared = Shared()
        self.model: dict[str, object] = {}

    @rule(key=KEYS, value=JSON)
    def put(self, key: str, value: object) -> None:
        self.store.set(key, value)
        self.shared.set(key, value)
        self.model[key] = value

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        known = key in self.model
        self.model.pop(key, None)
        assert self.store.delete(key) == known
        assert self.shared.delete(key) == known

    @invariant()
    def same(self) -> None:
        for kept in (self.store, self.shared):
            assert kept.keys() == sorted(self.model)
            assert {key: kept.get(key) for key in kept.keys()} == self.model  # noqa: SIM118 - it is no dict


TestStoreMachine = StoreMachine.TestCase


@given(values=st.dictionaries(KEYS, JSON))
def test_what_is_kept_is_there_after_a_restart(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("store") / "deep" / "s.json"
    store = Store(path)
    for key, value in values.items():
        store.set(key, value)
    again = Store(path)
    assert {key: again.get(key) for key in values} == values
    assert again.get("none", 7) == 7
    assert [file.name for file in path.parent.iterdir()] == ["s.json"] if values else not path.parent.exists()


def test_values_are_copied_in_and_out() -> None:
    for kept in (Store(None), Shared()):
        value = {"list": [1]}
        kept.set("key", value)
        value["list"].append(2)
        got = kept.get("key")
        assert got == {"list": [1]}
        assert isinstance(got, dict)
        got["list"].append(3)
        assert kept.get("key") == {"list": [1]}


def test_a_full_disk_is_an_error_and_the_old_value_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    store = Store(path)
    store.set("key", "old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # the kernel cuts the write short, as a full disk does
    try:
        with pytest.raises(SourceError, match=r"s\.json: cannot be written, the old values are kept: File too large"):
            store.set("key", "new" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store.get("key") == "old"
    assert Store(path).get("key") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["s.json"]
    store.set("key", "later")
    assert Store(path).get("key") == "later"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "s.json")
    with pytest.raises(SourceError, match="cannot be"):
        store.set("key", 1)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1', b"\xff", b'{"a": 01}'])
def test_a_damaged_file_is_an_error_and_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(content)
    store = Store(path)
    with pytest.raises(SourceError, match="mend it or move it away"):
        store.set("key", 1)
    assert path.read_bytes() == content


def test_size_keys_and_values_are_bounded() -> None:
    store = Store(None)
    store.set("key", "x" * (MAX_STORE - 10))
    with pytest.raises(ConfigError, match=f"more than the {MAX_STORE}"):
        store.set("other", "x" * 20)
    assert store.keys() == ["key"]
    for key in ("", "x" * 257):
        with pytest.raises(ConfigError, match="a key is a text"):
            store.set(key, 1)
    with pytest.raises(ConfigError, match=r"store\.key: not a JSON value"):
        store.set("key", object())
    nested: list[object] = []
    nested.append(nested)
    with pytest.raises(ConfigError, match="not a JSON value"):
        store.set("key", nested)

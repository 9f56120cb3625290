"""The table of origins fits the catalogue, the registry and itself."""

from __future__ import annotations

from tidegate.data.fields import FIELDS
from tidegate.data.forms import FORMS
from tidegate.data.names import Layer
from tidegate.wire.packet.columns import Mark
from tidegate.wire.sflow.formats import FLOW_RECORDS
from tidegate.wire.sflow.origins import ORIGINS, RECORD_ELEMENTS, RECORD_MARKS, Op, Record

OF_EVERY_BATCH = {"agent", "subagent", "frames"}


def test_every_field_has_an_origin() -> None:
    assert set(ORIGINS) == set(FIELDS) - OF_EVERY_BATCH


def test_ways_of_reading_fit_the_forms() -> None:
    for name, origins in ORIGINS.items():
        traits = FORMS[FIELDS[name].form]
        for origin in origins:
            assert (origin.op == Op.TEXT) == (traits.spelling is not None), name
            assert (origin.op in {Op.IP4, Op.IP6, Op.ADDRESS}) == (traits.width == 2), name


def test_fields_with_layers_start_at_the_sampled_header() -> None:
    for name, origins in ORIGINS.items():
        if not origins:
            assert not FIELDS[name].layered, name
            continue
        assert FIELDS[name].layered == (0 < origins[0].mark < Record.ETHERNET), name
        assert all(origin.mark >= Record.ETHERNET for origin in origins[1:]), name


def test_kinds_of_marks_do_not_overlap() -> None:
    parts = {Record.IPV4: 3, Record.IPV6: 3, Record.GATEWAY: 7} | {
        record: len(layout) for record, layout in RECORD_ELEMENTS.items()
    }
    kinds = [*Layer, *Mark]
    for record in set(RECORD_MARKS.values()):
        kinds += range(record, record + parts.get(record, 1))
    assert len(kinds) == len({int(kind) for kind in kinds})
    assert max(Layer) < 32 <= min(Mark)
    assert max(Mark) < Record.ETHERNET
    assert max(kinds) < 255


def test_records_are_those_of_the_registry() -> None:
    assert {(0, number) for number in RECORD_MARKS} <= set(FLOW_RECORDS)
    assert len(RECORD_MARKS) == len(set(RECORD_MARKS.values())) <= 63  # a bit each in a word

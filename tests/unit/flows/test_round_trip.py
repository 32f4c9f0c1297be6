"""Builder, YAML and IR are three faces of one flow: any flow comes back from each as it was."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, assume, given, settings

from interplay.core.flows.builder import to_python
from interplay.core.flows.canonical import flow_version, from_bytes, to_bytes
from interplay.core.flows.format import format_flow, surface, to_yaml
from interplay.core.flows.ir import Flow
from interplay.core.flows.parse import parse_data, parse_flow
from tests.unit.flows.random_flows import FLOWS

# too many draws that are no flows fail the test: hypothesis counts them
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
SLOWLY = settings(max_examples=30, deadline=None, suppress_health_check=SLOW)


def read(data: dict[str, Any]) -> Flow:
    """The IR; a drawn tree whose shape is wrong after all is another draw."""
    parsed = parse_data(data)
    assume(parsed.flow is not None and not parsed.problems)
    assert parsed.flow is not None
    return parsed.flow


def same(one: Flow | None, other: Flow) -> bool:
    return one is not None and to_bytes(one) == to_bytes(other) and flow_version(one) == flow_version(other)


class TestRoundTrip:
    @SLOWLY
    @given(FLOWS)
    def test_through_bytes(self, data: dict[str, Any]) -> None:
        flow = read(data)
        assert same(from_bytes(to_bytes(flow)), flow)

    @SLOWLY
    @given(FLOWS)
    def test_through_the_surface(self, data: dict[str, Any]) -> None:
        flow = read(data)
        assert parse_data(surface(flow)).flow == flow

    @SLOWLY
    @given(FLOWS)
    def test_through_yaml(self, data: dict[str, Any]) -> None:
        flow = read(data)
        parsed = parse_flow(to_yaml(flow))
        assert [str(problem) for problem in parsed.problems] == []
        assert same(parsed.flow, flow)

    @SLOWLY
    @given(FLOWS)
    def test_through_formatted_yaml_which_stays_as_it_is(self, data: dict[str, Any]) -> None:
        flow = read(data)
        once = format_flow(to_yaml(flow))
        assert same(parse_flow(once).flow, flow)
        assert format_flow(once) == once

    @SLOWLY
    @given(FLOWS)
    def test_through_the_builder(self, data: dict[str, Any]) -> None:
        flow = read(data)
        names: dict[str, Flow] = {}
        exec(compile(to_python(flow), "flow.py", "exec"), names)
        assert same(names["flow"], flow)

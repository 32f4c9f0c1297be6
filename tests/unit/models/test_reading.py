"""`interplay.yaml`: what it may say, and what is said about what it may not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from interplay.core.models.policy import Fallbacks, Hedge, Policy, Retries, Timeouts
from interplay.core.models.reading import InvalidModels
from interplay.core.models.registry import Connection, Model, Registry
from interplay.use_cases.register_models import read_registry

WHOLE = """
connections:
  east: {base_url: "http://127.0.0.1:9/v1", timeout: 1m}
models:
  smart:
    task: chat
    deployments:
      - {connection: east, model: big, name: big, price: {input: 1, output: 2}, context: 8000, limits: {requests: 60}}
      - {connection: east, model: small, priority: 1, weight: 0}
    policy:
      strategy: least_latency
      conditions: [{when: 'metadata.tier == "gold"', use: [big]}]
      affinity: header:x-session
      fallbacks: {rate_limited: [plain], default: []}
      retries: {max: 2, backoff: 250ms}
      breaker: {failures: 3, window: 1m, pause: 10}
      hedge: {share: 0.1, after: 1500ms}
      shadow: {deployment: east/small, share: 0.01}
      timeouts: {first_token: 5s, total: 2m}
      cache: {ttl: 1h, semantic: {model: minilm, similarity: 0.97}}
      queue: 10
      rescue: restart
  plain: {task: chat, connection: east, model: small, weight: 2, limits: {tokens: 9}}
"""
HEAD = 'connections: {east: {base_url: "http://127.0.0.1:9/v1"}}\nmodels:\n'


def problems(text: str, known: Registry | None = None) -> list[str]:
    with pytest.raises(InvalidModels) as refused:
        read_registry(text, "interplay.yaml", known)
    return [str(problem) for problem in refused.value.problems]


def model(policy: str) -> str:
    return (
        HEAD
        + "  a: {task: chat, connection: east, model: m}\n"
        + ("  b:\n    task: chat\n    deployments: [{connection: east, model: m}]\n    policy: " + policy + "\n")
    )


class TestWhatItMaySay:
    def test_everything_is_read(self) -> None:
        found = read_registry(WHOLE, "interplay.yaml", Registry())
        smart = found.models["smart"]
        assert found.connections["east"].timeout == 60.0
        assert smart.policy.retries == Retries(2, 0.25)
        assert smart.policy.timeouts == Timeouts(first_token=5.0, total=120.0)
        assert smart.policy.hedge == Hedge(0.1, 1.5)
        assert smart.policy.fallbacks == Fallbacks(rate_limited=("plain",))
        assert smart.policy.cache is not None
        assert smart.policy.cache.ttl == 3600.0
        assert [d.label for d in smart.deployments] == ["big", "east/small"]
        assert smart.deployments[0].limits.requests == 60

    def test_one_deployment_may_stand_in_the_alias(self) -> None:
        plain = read_registry(WHOLE).models["plain"]
        assert (plain.deployments[0].model, plain.deployments[0].weight) == ("small", 2.0)
        assert plain.limits.tokens == 9

    def test_without_a_policy_everything_has_a_default(self) -> None:
        assert read_registry(WHOLE).models["plain"].policy == Policy()


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("policy", "place", "words"),
        [
            ("{stratgy: weighted}", "7:14", ["'stratgy' is not known here", "Did you mean 'strategy'?"]),
            ("{strategy: wieghted}", "7:24", ["'wieghted'", "priority, weighted", "Did you mean 'weighted'?"]),
            ("{retries: {max: lots}}", "7:29", ["'lots' does not fit", "a whole number"]),
            ("{retries: {max: 99}}", "7:29", ["99", "<= 10"]),
            ("{retries: {backoff: soon}}", "7:33", ["'soon' is no duration", "500ms"]),
            ("{hedge: {share: 2}}", "7:29", ["2 does not fit", "<= 1"]),
            ("{affinity: cookie}", "7:24", ["'cookie'", "`user`, or `header:`"]),
            ("{cache: {}}", "7:14", ["'ttl' is missing"]),
            ("{cache: 1h}", "7:21", ["'1h' is no mapping", "ttl"]),
            ("{conditions: [{when: 'request.x >', use: [east/m]}]}", "7:34", ["it ends too early", "`request`"]),
            ("{conditions: [{when: '1 + 1', use: [east/m]}]}", "7:34", ["true or false"]),
            ("{conditions: [{when: 'true', use: [easy/m]}]}", "7:48", ["'easy/m'", "Did you mean 'east/m'?"]),
            ("{conditions: [{when: 'true', use: []}]}", "7:47", ["[] does not fit"]),
            ("{shadow: {deployment: x, share: 0.5}}", "7:35", ["no deployment is called 'x'", "east/m"]),
            ("{fallbacks: {default: [b]}}", "7:36", ["would fall back to itself"]),
            ("{fallbacks: {default: [aa]}}", "7:36", ["there is no model 'aa'", "a, b"]),
            ("{fallbacks: {bad_request: [a]}}", "7:26", ["'bad_request' is not known here"]),
            ("{fallbacks: {default: [minilm]}}", "7:36", ["'minilm' has `task: embed`", "`task: chat`"]),
            ("{cache: {ttl: 1, semantic: {model: a}}}", "7:48", ["'a' has `task: chat`", "`task: embed`"]),
            ("[]", "7:13", ["no mapping", "strategy"]),
        ],
    )
    def test_each_says_where_and_what_was_expected(self, policy: str, place: str, words: list[str]) -> None:
        (found,) = problems(model(policy), Registry())
        assert found.startswith(f"interplay.yaml:{place}: models.b.policy"), found
        for word in words:
            assert word in found

    def test_all_are_found_at_once_in_the_order_of_the_file(self) -> None:
        text = HEAD + "  a: {task: chatt, connection: east}\n  b: {task: chat, conection: east, model: m}\nmodel: {}\n"
        found = problems(text)
        assert len(found) >= 4
        lines = [int(one.split(":")[1]) for one in found]
        assert lines == sorted(lines)

    @pytest.mark.parametrize(
        ("models", "word"),
        [
            ("  a: {task: chat, deployments: []}", "needs a deployment"),
            ("  a: {task: chat, deployments: [{connection: wst, model: m}]}", "there is no connection 'wst'"),
            (
                "  a: {task: chat, deployments: [{connection: east, model: m}, {connection: east, model: m}]}",
                "are called",
            ),
            ("  a: {task: chat, deployments: [{connection: east, model: m, weight: 0}]}", "would ever be called"),
            ("  a: 5", "'a' is no mapping"),
            ("  a: {task: chat, connection: east, model: m, weight: -1}", ">= 0"),
            ("  a: {task: chat, connection: east, model: m, limits: {requests: many}}", "a whole number"),
        ],
    )
    def test_an_alias_that_could_not_be_called_is_refused(self, models: str, word: str) -> None:
        assert any(word in one for one in problems(HEAD + models + "\n"))

    def test_yaml_that_is_none_says_where(self) -> None:
        assert problems("models: {a: [}")[0].startswith("interplay.yaml:1:")

    def test_names_beside_the_file_count(self) -> None:
        known = Registry({"west": Connection("west")}, read_registry(WHOLE).models)
        text = HEAD + "  a: {task: chat, connection: west, model: m, policy: {fallbacks: {default: [plain]}}}\n"
        assert read_registry(text, "", known).models["a"].policy.fallbacks.default == ("plain",)


def test_it_survives_being_stored(tmp_path: Any) -> None:
    smart = read_registry(WHOLE).models["smart"]
    assert msgspec.json.decode(msgspec.json.encode(smart), type=Model) == smart

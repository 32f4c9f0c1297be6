"""Classic models over the Open Inference Protocol: a real ONNX file behind the real server, and a flow over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from examples.digits.train import train
from interplay.adapters.local_models.child import ModelServerChild
from interplay.adapters.openai_http.provider import OpenAIProvider
from interplay.client import AsyncClient
from interplay.core.failures import StepFailure
from interplay.core.models.registry import Connection, Deployment
from interplay.services.all_in_one.machine import run_machine
from interplay.settings import load_settings

pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).resolve().parents[3]
Picture = list[float]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Picture], list[int]]:
    folder = tmp_path_factory.mktemp("models")
    pictures, digits = train(folder / "onnx")
    return folder, pictures, digits


@pytest.fixture
async def server(trained: tuple[Path, list[Picture], list[int]]) -> AsyncIterator[str]:
    child = ModelServerChild(trained[0], idle_seconds=60.0)
    yield await child.ensure_started()
    await child.stop()


class TestInference:
    async def test_health_and_metadata(self, server: str) -> None:
        async with httpx.AsyncClient(base_url=server, trust_env=False) as http:
            assert (await http.get("/v2/health/live")).json() == {"live": True}
            assert (await http.get("/v2/models/digits/ready")).json()["ready"] is True
            assert (await http.get("/v2/models/nothing/ready")).status_code == 404
            described = (await http.get("/v2/models/digits")).json()
        assert described["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}]
        assert [one["name"] for one in described["outputs"]] == ["label", "probabilities"]

    async def test_the_digits_are_seen(self, server: str, trained: tuple[Path, list[Picture], list[int]]) -> None:
        _, pictures, digits = trained
        provider = OpenAIProvider(Connection("here", kind="v2", base_url=server), server, {})
        answer = await provider.predict(Deployment("here", "digits"), {"pixels": pictures})
        await provider.close()
        right = sum(seen == wanted for seen, wanted in zip(answer.outputs["label"], digits, strict=True))
        assert right / len(digits) > 0.93
        assert sum(answer.outputs["probabilities"][0]) == pytest.approx(1.0, abs=1e-4)

    @pytest.mark.parametrize(
        ("inputs", "said"),
        [
            ({"pixels": [[1.0] * 63]}, "[1, 63]"), ({"pixls": [[1.0] * 64]}, "It has pixels"), ({}, "missing"),
            ({"pixels": [["a"] * 64]}, "tensor(float)"),
        ],
    )  # fmt: skip
    async def test_inputs_that_do_not_fit_are_named(self, server: str, inputs: dict[str, object], said: str) -> None:
        provider = OpenAIProvider(Connection("here", kind="v2", base_url=server), server, {})
        with pytest.raises(StepFailure) as failed:
            await provider.predict(Deployment("here", "digits"), inputs)
        await provider.close()
        assert failed.value.failure.code == "bad_request"
        assert said in failed.value.failure.detail

    async def test_a_model_that_is_not_there(self, server: str) -> None:
        provider = OpenAIProvider(Connection("here", kind="v2", base_url=server), server, {})
        with pytest.raises(StepFailure) as failed:
            await provider.predict(Deployment("here", "digit"), {"pixels": [[1.0] * 64]})
        await provider.close()
        assert failed.value.failure.code == "not_found"
        assert "'digits'" in failed.value.failure.detail

    async def test_a_flow_asks_a_model_of_this_machine(
        self, database_url: str, tmp_path: Path, trained: tuple[Path, list[Picture], list[int]]
    ) -> None:
        _, pictures, digits = trained
        home = tmp_path / "home"
        await asyncio.to_thread(train, home / "models" / "onnx")
        settings = load_settings(home=home, database_url=database_url, port=0)
        async with run_machine(settings, announce=False) as machine, AsyncClient(machine.url, machine.token) as client:
            deployment = {"connection": "this-machine", "model": "digits"}
            await client.models.put("digits", {"task": "predict", "deployments": [deployment]})
            await client.flows.put("digits", (ROOT / "examples" / "digits" / "digits.yaml").read_text())
            run = await client.runs.create("digits", {"pictures": pictures[:20]}, wait=60)
        assert run["status"] == "succeeded", run
        assert sum(a == b for a, b in zip(run["output"]["digits"], digits[:20], strict=True)) >= 17

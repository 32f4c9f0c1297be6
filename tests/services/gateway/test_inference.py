"""Classic models on the model plane: the Open Inference Protocol v2 by alias, over a real ONNX file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from examples.digits.train import train
from interplay.adapters.local_models.child import ModelServerChild
from interplay.core.models.registry import Connection, Deployment, Model
from interplay.services.all_in_one.machine import Machine
from tests.services.gateway.test_calls import stages

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
Trained = tuple[Path, list[list[float]], list[int]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("models")
    return folder, *train(folder / "onnx")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def digits(running: Machine, trained: Trained) -> AsyncIterator[None]:
    child = ModelServerChild(trained[0], idle_seconds=60.0)
    models = running.platform.models
    await models.put_connection(1, Connection("classic", "v2", await child.ensure_started()))
    for name in ("digits", "nothing"):
        await models.put_model(1, Model(f"my-{name}", "predict", (Deployment("classic", name),)))
    await running.platform.tenancy.snapshots.refresh()
    yield
    await child.stop()


def pixels(pictures: list[list[float]], **more: Any) -> dict[str, Any]:
    tensor = {
        "name": "pixels",
        "shape": [len(pictures), 64],
        "datatype": "FP32",
        "data": [grey for one in pictures for grey in one],
    }
    return {"inputs": [tensor], **more}


@pytest.mark.usefixtures("digits")
class TestClassicModels:
    async def test_infer_takes_and_gives_tensors(
        self, machine: Machine, http: httpx.AsyncClient, trained: Trained
    ) -> None:
        body = pixels(trained[1][:8], id="seven", outputs=[{"name": "label", "parameters": {"binary_data": True}}])
        answer = await http.post("/v2/models/my-digits/infer", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["id"] == "seven"
        assert answer.headers["x-interplay-model"] == "classic/digits"
        (label,) = answer.json()["outputs"]
        assert (label["name"], label["datatype"], label["shape"]) == ("label", "INT64", [8])
        assert sum(a == b for a, b in zip(label["data"], trained[2], strict=False)) >= 6

    async def test_says_what_it_takes_and_whether_it_is_ready(self, machine: Machine, http: httpx.AsyncClient) -> None:
        described = (await http.get("/v2/models/my-digits")).json()
        assert described["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}]
        assert (await http.get("/v2/models/my-digits/ready")).json() == {"name": "my-digits", "ready": True}
        assert (await http.get("/v2/models/my-nothing/ready")).status_code == 404

    async def test_tells_where_the_time_went(self, machine: Machine, http: httpx.AsyncClient, trained: Trained) -> None:
        for path, known in {
            "/v2": {"overhead", "total"},
            "/v2/health/live": {"overhead", "total"},
            "/v2/health/ready": {"overhead", "total"},
            "/v2/models/my-digits": {"auth", "route", "upstream", "overhead", "total"},
            "/v2/models/my-nothing/ready": {"auth", "route", "upstream", "overhead", "total"},
            "/v2/models/nowhere": {"auth", "route", "overhead", "total"},
            "/v2/nowhere": {"overhead", "total"},
        }.items():
            spent = stages(await http.get(path))
            assert spent.keys() == known, path
            assert abs(spent.get("upstream", 0.0) + spent["overhead"] - spent["total"]) < 0.01
        stranger = stages(await http.get("/v2/models/my-digits", headers={"Authorization": "Bearer ik_no"}))
        assert stranger.keys() == {"auth", "overhead", "total"}
        called = stages(await http.post("/v2/models/my-digits/infer", json=pixels(trained[1][:1])))
        assert called.keys() >= {"auth", "route", "limits", "first-byte", "upstream", "overhead", "total"}
        refused = await http.post("/v2/models/my-digits/infer", headers={"Authorization": "Bearer ik_no"})
        assert (refused.status_code, stages(refused).keys()) == (401, {"auth", "overhead", "total"})

    async def test_health_needs_no_key_and_all_else_does(self, machine: Machine) -> None:
        async with httpx.AsyncClient(base_url=machine.url, trust_env=False) as stranger:
            assert (await stranger.get("/v2/health/live")).json() == {"live": True}
            assert (await stranger.get("/v2/health/ready")).json() == {"ready": True}
            for answer in (
                await stranger.get("/v2/models/my-digits"),
                await stranger.post("/v2/models/my-digits/infer", json={}),
            ):
                assert (answer.status_code, "key" in answer.json()["error"]) == (401, True)

    @pytest.mark.parametrize(
        ("alias", "body", "status", "said"),
        [
            ("my-digits", b"{", 400, "not JSON"),
            ("my-digits", b'{"inputs":[{"name":"pixels","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}', 400, "64"),
            ("my-digit", b"{}", 404, "my-digits"),
            ("gpt", b"{}", 400, "POST /v1/chat/completions"),
        ],
    )
    async def test_errors_are_a_sentence(
        self, machine: Machine, http: httpx.AsyncClient, alias: str, body: bytes, status: int, said: str
    ) -> None:
        answer = await http.post(f"/v2/models/{alias}/infer", content=body)
        assert answer.status_code == status, answer.text
        assert said in answer.json()["error"]

    async def test_the_binary_extension_is_refused_with_what_to_do(
        self, machine: Machine, http: httpx.AsyncClient
    ) -> None:
        headers = {"Inference-Header-Content-Length": "2"}
        answer = await http.post("/v2/models/my-digits/infer", content=b"{}\0", headers=headers)
        assert (answer.status_code, "binary_data=False" in answer.json()["error"]) == (400, True)

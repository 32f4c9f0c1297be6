"""NVIDIA's Triton client, unmodified, against the v2 endpoints of the gateway, with a classic model behind them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from examples.digits.train import train
from tests.real_machine import RealMachine, real_machine

pytestmark = pytest.mark.timeout(300)
Trained = tuple[list[list[float]], list[int]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    folder = tmp_path_factory.mktemp("onnx")
    pictures, digits = train(folder)
    return folder, (pictures, digits)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, trained: tuple[Path, Trained]) -> Iterator[RealMachine]:
    home = tmp_path_factory.mktemp("machine") / "home"
    (home / "models").mkdir(parents=True)
    (home / "models" / "onnx").symlink_to(trained[0])
    with real_machine(home) as running:
        done = running.command("models", "create", "digits", "--task", "predict", "--deployment", "this-machine/digits")
        assert done.returncode == 0, done.stdout + done.stderr
        yield running


@pytest.fixture(scope="module")
def client(machine: RealMachine) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(machine.url.removeprefix("http://"), network_timeout=60.0) as made:
        yield made


@pytest.fixture
def headers(machine: RealMachine) -> dict[str, str]:
    return {"Authorization": f"Bearer {machine.key}"}


def asked(pictures: Any, *, binary: bool) -> triton.InferInput:
    values = np.asarray(pictures, dtype=np.float32)
    made = triton.InferInput("pixels", list(values.shape), "FP32")
    made.set_data_from_numpy(values, binary_data=binary)
    return made


class TestTritonClient:
    def test_health_and_metadata(self, client: triton.InferenceServerClient, headers: dict[str, str]) -> None:
        assert client.is_server_live(headers)
        assert client.is_server_ready(headers)
        assert client.is_model_ready("digits", headers=headers)
        assert not client.is_model_ready("nothing", headers=headers)
        described = client.get_model_metadata("digits", headers=headers)
        assert described["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}]
        assert client.get_server_metadata(headers)["name"]

    def test_infers(
        self, client: triton.InferenceServerClient, headers: dict[str, str], trained: tuple[Path, Trained]
    ) -> None:
        pictures, digits = trained[1]
        wanted = [triton.InferRequestedOutput("label", binary_data=False)]
        answer = client.infer("digits", [asked(pictures[:50], binary=False)], outputs=wanted, headers=headers)
        seen = answer.as_numpy("label")
        assert sum(int(a) == b for a, b in zip(seen, digits[:50], strict=True)) >= 45

    def test_is_told_what_is_wrong(self, client: triton.InferenceServerClient, headers: dict[str, str]) -> None:
        wanted = [triton.InferRequestedOutput("label", binary_data=False)]
        with pytest.raises(InferenceServerException, match="digitz"):
            client.infer("digitz", [asked([[0.0] * 64], binary=False)], outputs=wanted, headers=headers)
        with pytest.raises(InferenceServerException, match="64"):
            client.infer("digits", [asked([[0.0] * 3], binary=False)], outputs=wanted, headers=headers)

    def test_binary_tensors_are_refused_with_what_to_send(
        self, client: triton.InferenceServerClient, headers: dict[str, str]
    ) -> None:
        with pytest.raises(InferenceServerException, match="binary_data=False"):
            client.infer("digits", [asked([[0.0] * 64], binary=True)], headers=headers)

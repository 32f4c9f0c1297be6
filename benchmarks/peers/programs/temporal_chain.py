"""Temporal: a workflow of five activities, each recorded by the server before the next; worker and client in one."""

import asyncio
import sys
import time
import uuid
from datetime import timedelta

from answering import answer_with_tasks, answers
from google.protobuf.duration_pb2 import Duration
from temporalio import activity, workflow
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

QUEUE = "chain"


@activity.defn
async def add(x: int) -> int:
    return x + 1


@workflow.defn
class Chain:
    @workflow.run
    async def run(self, x: int) -> int:
        for _ in range(5):
            x = await workflow.execute_activity(add, x, start_to_close_timeout=timedelta(seconds=60))
        return x


async def register_namespace(client: Client) -> None:
    """A new server has none; the worker may start when it can be seen (it is cached for some seconds)."""
    retention = Duration(seconds=86_400)
    request = RegisterNamespaceRequest(namespace=client.namespace, workflow_execution_retention_period=retention)
    await client.workflow_service.register_namespace(request)
    deadline = time.monotonic() + 60
    while True:
        try:
            await client.count_workflows()
            return
        except RPCError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def main(address: str) -> None:
    to = answers()
    client = await Client.connect(address)
    await register_namespace(client)
    worker = Worker(
        client,
        task_queue=QUEUE,
        workflows=[Chain],
        activities=[add],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=200,
        max_concurrent_workflow_tasks=200,
    )

    async def job() -> int:
        return await client.execute_workflow(
            Chain.run, 1, id=str(uuid.uuid4()), task_queue=QUEUE, request_eager_start=True
        )

    async with worker:
        await answer_with_tasks(job, to)


asyncio.run(main(sys.argv[1]))

"""AWS Bedrock: its client blocks, so it runs in threads; its credentials are the connection's, never the process's."""

from __future__ import annotations

from typing import Any, Final

from interplay.adapters.langchain.site import CONNECT, Made, Site
from interplay.adapters.langchain.threads import CURRENT, ThreadedModel
from interplay.core.failures import StepFailure

_THREADS: Final = 64  # calls at once; a waiting thread costs little


def bedrock_chat(site: Site, model: str, _: dict[str, Any]) -> Made:
    from langchain_aws import ChatBedrockConverse

    chat: Any = ChatBedrockConverse
    client = _client(site)
    # The second client is for asking about inference profiles: name their model as `base_model` to need none.
    made = chat(model=model, client=client, bedrock_client=client, region_name=site.options["region"])
    return _made(made, client)


def bedrock_embed(site: Site, model: str, options: dict[str, Any]) -> Made:
    from langchain_aws import BedrockEmbeddings

    embed: Any = BedrockEmbeddings
    client = _client(site)
    return _made(embed(model_id=model, client=client, region_name=site.options["region"], **options), client)


def _made(model: Any, client: Any) -> Made:
    from botocore.eventstream import ParserError
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    threaded = ThreadedModel(model, _THREADS)

    async def close() -> None:
        await threaded.close()
        client.close()

    return Made(threaded, close, (BotoCoreError, ClientError, ResponseParserError, ParserError, HTTPError))


def _client(site: Site) -> Any:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    options = site.options
    if not options.get("region"):
        raise StepFailure("bad_request", f"The connection {site.name!r} has no region.", where="options.region")
    keys = {
        f"aws_{name}": options[name]
        for name in ("access_key_id", "secret_access_key", "session_token")
        if options.get(name)
    }
    if not site.key and "aws_secret_access_key" not in keys and not options.get("machine_credentials"):
        raise StepFailure(
            "unauthorized",
            f"The connection {site.name!r} has no credentials.",
            advice="Give it api_key, or the options access_key_id and secret_access_key, or machine_credentials: true.",
        )
    config = Config(
        connect_timeout=CONNECT,
        read_timeout=site.timeout,
        retries={"total_max_attempts": 1},
        max_pool_connections=_THREADS,
        ignore_configured_endpoint_urls=True,
        signature_version=UNSIGNED if site.key else None,
    )
    session = boto3.Session(region_name=str(options["region"]), **keys)
    client = session.client("bedrock-runtime", endpoint_url=site.address, config=config)
    headers = {**site.headers, **({"Authorization": f"Bearer {site.key}"} if site.key else {})}
    client.meta.events.register("before-send.bedrock-runtime", _adds(headers))
    _track(client)
    return client


def _adds(headers: dict[str, str]) -> Any:
    def add(request: Any, **_: Any) -> None:
        for name, value in headers.items():
            request.headers[name] = value

    return add


def _track(client: Any) -> None:
    """Each call knows the sockets that it uses, so that it can be cut off."""
    from botocore.awsrequest import (
        AWSHTTPConnection,
        AWSHTTPConnectionPool,
        AWSHTTPSConnection,
        AWSHTTPSConnectionPool,
    )

    def tracked(connection: Any, pool: Any) -> Any:
        class Tracked(connection):  # type: ignore[misc]
            def connect(self) -> None:
                super().connect()
                _used(self.sock)

            def request(self, *arguments: Any, **options: Any) -> Any:
                if self.sock is not None:
                    _used(self.sock)
                return super().request(*arguments, **options)

        return type("TrackedPool", (pool,), {"ConnectionCls": Tracked})

    client._endpoint.http_session._manager.pool_classes_by_scheme = {
        "http": tracked(AWSHTTPConnection, AWSHTTPConnectionPool),
        "https": tracked(AWSHTTPSConnection, AWSHTTPSConnectionPool),
    }


def _used(opened: Any) -> None:
    call = CURRENT.get()
    if call is not None:
        call.uses(opened)

"""TensorZero's HTTP gateway, as its wheel brings it: says where it listens, and serves until it is ended."""

from __future__ import annotations

import signal
import sys

from tensorzero import _start_http_gateway

gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print(gateway.base_url, flush=True)
signal.pause()

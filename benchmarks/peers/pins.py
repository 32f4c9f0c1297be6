"""The versions of the peers, all in this place. A change here installs the peer anew."""

from __future__ import annotations

LANGGRAPH = {"langgraph": "1.2.24", "langgraph-checkpoint-postgres": "3.2.0", "psycopg[binary,pool]": "3.3.9"}
DBOS = {"dbos": "3.4.0"}
LANGFLOW = {"langflow[postgresql]": "1.13.0"}
RESTATE_SERVER = {"@restatedev/restate-server": "1.7.12"}
RESTATE_SDK = {"restate-sdk": "1.3.0", "hypercorn": "0.18.0"}
TEMPORAL_SERVER = {"go.temporal.io/server": "1.32.1"}
TEMPORAL_SDK = {"temporalio": "1.35.0"}
LOOP = {"uvloop": "0.22.1"}
TENSORZERO = {"tensorzero": "2026.6.0", "openai": "2.8.1"}
PORTKEY = {"@portkey-ai/gateway": "1.15.2"}
# newer ones of the server below it make every stream a 500 (Portkey-AI/gateway, issue 1389)
PORTKEY_SERVER = {"@hono/node-server": "1.14.1"}
LITELLM = {"litellm[proxy]": "1.106.2"}

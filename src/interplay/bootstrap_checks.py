"""What `doctor`, `migrate` and `serve --check` ask of the adapters."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from interplay.adapters.local_models.assets import ASSETS, install, missing
from interplay.adapters.postgres.embedded import Paths, check_version, url_of_running
from interplay.adapters.postgres.schema import migrate, schema_state
from interplay.adapters.python_tools.loading import load
from interplay.bootstrap import extensions_of
from interplay.bootstrap_kafka import make_broker
from interplay.core.errors import InterplayError
from interplay.settings import Settings

_LEAST_FREE = 500 * 1024 * 1024  # bytes
WITH_BROKER = ("api", "worker", "scheduler", "recorder")


async def database_state(url: str) -> str:
    return (await schema_state(url)).value


async def check_service(service: str, settings: Settings, url: str) -> list[str]:
    """What a service would find, in words. Raises SetupError and Unavailable where it could not work."""
    found = [f"the database answers, its schema is {await database_state(url)}"]
    reach = make_broker(settings).reach
    if reach is not None and service in WITH_BROKER:
        await reach.look()
        reach.close()
        found.append("the broker answers")
    if service == "worker" and settings.extensions is not None:
        extensions = extensions_of(settings)
        for name, reference in extensions.tools.items():
            load(reference, name)
        found.append(f"the extensions of {settings.extensions} are there")
    return found


async def migrate_database(url: str) -> bool:
    return await migrate(url)


async def report(settings: Settings) -> list[dict[str, Any]]:
    """One entry a check: what, ok, what was found, what to do."""
    found = [_home(settings), _disk(settings), _weights(settings)]
    url = settings.database_url or url_of_running(settings.home / "postgres")
    if url is None:
        found.append(_embedded(settings))
    else:
        try:
            state = await database_state(url)
            found.append(_entry("database", state == "current", f"answers, schema {state}", "interplay migrate"))
        except InterplayError as away:
            found.append(_entry("database", False, str(away), "Check INTERPLAY_DATABASE_URL and that it runs."))
    return found


def _embedded(settings: Settings) -> dict[str, Any]:
    try:
        check_version(Paths(settings.home / "postgres"))
    except InterplayError as another:
        return _entry("database", False, another.detail, another.advice or "")
    return _entry("database", True, "embedded, not running now", "")


def _home(settings: Settings) -> dict[str, Any]:
    return _entry("home", True, str(settings.home), "" if settings.home.exists() else "It is made at the first start.")


def _disk(settings: Settings) -> dict[str, Any]:
    place = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    return _entry("disk", free > _LEAST_FREE, f"{free / 1024**3:.1f} GiB free", "Make room: at least 0.5 GiB.")


def _weights(settings: Settings) -> dict[str, Any]:
    absent = missing(settings.home / "models")
    text = f"{len(absent)} of {len(ASSETS)} not installed; they come at first need, or by `interplay models install`"
    return _entry("local models", True, text if absent else "all there", "")


def _entry(what: str, ok: bool, found: str, advice: str) -> dict[str, Any]:
    return {"what": what, "ok": ok, "found": found, "advice": "" if ok else advice}


async def install_weights(settings: Settings, progress: Callable[[str], None]) -> int:
    """Brings the weights that are missing; gives how many."""
    return len(await install(settings.home / "models", progress))

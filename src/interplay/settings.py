"""Every environment variable that Interplay reads; nothing else reads the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from interplay.core.errors import SetupError
from interplay.core.topics_of_ours import NAMESPACE, REPLICATION

_SECRET_PREFIX = "INTERPLAY_SECRET_"


class Settings(BaseSettings):
    """Read once, at the start of a process. A wrong value stops the start and is named."""

    model_config = SettingsConfigDict(env_prefix="INTERPLAY_", extra="ignore", env_ignore_empty=True)

    home: Path = Field(Path("~/.interplay"), description="Where this machine's data lives.")
    database_url: str | None = Field(None, description="A PostgreSQL server; without it one is embedded in the home.")
    url: str | None = Field(None, description="A remote server that commands talk to; without it the local one.")
    key: str | None = Field(
        None, description="The key that commands send; where a server starts with it, its first key."
    )
    project: str | None = Field(None, description="The project that commands mean; without it that of the key.")
    log: Literal["json", "text"] = Field("text", description="The form of log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    host: str = Field("127.0.0.1", description="The address that the API listens on.")
    port: int = Field(8080, ge=0, le=65535, description="The port that the API listens on; 0 takes any free one.")
    egress_allow: str = Field(
        "",
        description="Private hosts or ranges that outgoing calls may reach, with commas: `10.0.0.0/8,localhost`. "
        "Without it `interplay up` on a loopback address may reach this machine.",
    )
    pool: str = Field("default", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="The pool of a worker.")
    workers: int = Field(1, ge=0, le=1, description="Workers inside `interplay up`; 0 leaves runs to others.")
    worker_capacity: int = Field(1000, ge=1, le=100_000, description="Runs that one worker holds at once.")
    lease_seconds: float = Field(10.0, ge=0.2, le=600, description="How long a worker is believed alive unheard.")
    takeover_budget: int = Field(5, ge=0, le=100, description="Lost workers after which a run is dead.")
    drain_seconds: float = Field(20.0, ge=0, le=600, description="How long a stopping worker lets attempts end.")
    retention_days: int = Field(30, ge=1, le=3650, description="How long ended runs are kept.")
    usage_days: int = Field(400, ge=1, le=36500, description="How long usage records are kept; daily sums stay.")
    kafka_bootstrap: str | None = Field(
        None, description="Addresses of a Kafka, with commas; without them flows write to no topics."
    )
    kafka_security: Literal["plaintext", "tls"] = Field("plaintext", description="How the broker is spoken to.")
    kafka_sasl: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="How Interplay says to the broker who it is; without it, it does not."
    )
    kafka_username: str | None = Field(None, description="The user of `INTERPLAY_KAFKA_SASL`.")
    kafka_password: SecretStr | None = Field(None, description="The password of that user.")
    kafka_events: bool = Field(
        True, description="Whether what happens to runs, and what calls use, is published on topics of Interplay's."
    )
    kafka_hints: bool = Field(
        True, description="Whether processes wake one another through the broker; else through the database."
    )
    kafka_namespace: str = Field(
        NAMESPACE,
        pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$",
        description="How the names of Interplay's own topics and groups begin: another one for each installation that "
        "shares a Kafka.",
    )
    kafka_session_seconds: float = Field(
        30.0, ge=6, le=1800, description="After so long unheard, others take the partitions that a process reads."
    )
    kafka_replication: int = Field(
        REPLICATION,
        ge=1,
        le=32,
        description="Copies of each topic that `interplay migrate` makes, at most one for each broker.",
    )
    kafka_ca: Path | None = Field(
        None, description="A PEM file with the authorities that the broker's certificate is from; the system's without."
    )
    kafka_certificate: Path | None = Field(None, description="A PEM file with Interplay's own certificate.")
    kafka_certificate_key: Path | None = Field(None, description="A PEM file with the key of that certificate.")
    model_idle_seconds: float = Field(300.0, ge=1, description="After how long an idle local model is unloaded.")
    extensions: Path | None = Field(
        None, description="A file that names Python tools, MCP servers by command, and runnables of this worker."
    )
    secrets_folder: Path | None = Field(
        None,
        description="A folder with a file for each secret, named as it, such as Docker and Kubernetes mount; "
        "looked into before the variables.",
    )
    master_key: SecretStr | None = Field(
        None,
        description="What the secrets of webhooks are derived from: a long random text, the same for all processes of "
        "an installation; an earlier one may stand behind it, after a comma. Without it a file of the home.",
    )
    gateway_face: Literal["protocol", "asgi"] = Field(
        "protocol",
        description="How the gateway talks HTTP: by callbacks of its own, or as plain ASGI, half as fast.",
    )
    failpoint: str | None = Field(None, description="For fault tests only: `point:action[:skip]`.")

    @field_validator("home")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("it must begin with postgresql://")
        return value

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.egress_allow.split(",") if part.strip())

    @property
    def named_port(self) -> int | None:
        """For services that only operators call: they take any free port where none is named."""
        return self.port if "port" in self.model_fields_set else None

    @property
    def on_loopback(self) -> bool:
        return self.host in ("127.0.0.1", "::1", "localhost")

    @property
    def secrets(self) -> dict[str, str]:
        """`INTERPLAY_SECRET_MY_KEY=…` is `secret://my_key` and `secret://my-key`."""
        found: dict[str, str] = {}
        for name, value in os.environ.items():
            if name.startswith(_SECRET_PREFIX):
                short, value = name.removeprefix(_SECRET_PREFIX).lower(), value.strip()
                if any(not character.isprintable() for character in value):
                    raise SetupError("A secret may not hold line ends or other control characters.", where=name)
                found[short] = found[short.replace("_", "-")] = value
        return found


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process. Raises SetupError with the variable, what was found, what is allowed."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as wrong:
        first = wrong.errors()[0]
        name = f"INTERPLAY_{str(first['loc'][0]).upper()}"
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise SetupError(f"{name} is {first['input']!r}: {reason}.", where=name) from None


def described() -> list[tuple[str, str, str]]:
    """Name, default and meaning of every variable, for `doctor --settings` and the reference."""
    rows = []
    for name, spec in Settings.model_fields.items():
        default = "" if spec.default is None else str(spec.default)
        rows.append((f"INTERPLAY_{name.upper()}", default, spec.description or ""))
    return [*rows, (f"{_SECRET_PREFIX}<NAME>", "", "The value behind `secret://<name>` in flows and connections.")]

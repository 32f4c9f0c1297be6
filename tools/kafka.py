"""A real Apache Kafka of one node (KRaft), from its own jars: for tests, benchmarks and `make kafka`.

    python -m tools.kafka [PORT]    starts it on this machine, prints its address; Ctrl-C ends it, its data stays

Java 17 and Maven are what it needs of the machine.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tools.made_once import CACHE, INSTALL_SECONDS, made_once

POM = Path(__file__).with_name("kafka_pom.xml")
START_SECONDS = 60
_JAVA = ["java", "-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
_BARE = "org.slf4j.simpleLogger.defaultLogLevel=off"


class KafkaMissing(Exception):
    """What the machine lacks, in words."""


def jars() -> Path:
    """The folder with the broker's jars; brought once. Raises KafkaMissing."""
    for command, package in (("java", "openjdk-17-jre-headless"), ("mvn", "maven")):
        if shutil.which(command) is None:
            raise KafkaMissing(f"a Kafka needs the command `{command}`. On Debian: apt-get install {package}")

    def bring(folder: Path) -> None:
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
        done = subprocess.run(
            [*command, "-DincludeScope=runtime"], capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS
        )
        if done.returncode:
            raise KafkaMissing(f"Maven could not bring Kafka's jars: {(done.stdout + done.stderr)[-800:]}")

    return made_once("kafka", [POM], bring)


class KafkaBroker:
    """One broker with its data in `folder`: `start` after `stop` or `kill` is a restart on the same data."""

    def __init__(self, folder: Path, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        """`settings`: more lines of the broker's own settings, or others."""
        self._folder = folder
        self._port = port or free_port()
        self.controller = f"127.0.0.1:{free_port()}"
        self.settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._jars = jars()
        self.bootstrap = f"127.0.0.1:{self._port}"

    @property
    def command(self) -> list[str]:
        """What runs the broker, once it is prepared."""
        return [*_JAVA, "-cp", f"{self._jars}/*", "kafka.Kafka", str(self._folder / "server.properties")]

    def prepare(self) -> None:
        """Writes its settings and formats its data, where that was not done before."""
        properties = self._folder / "server.properties"
        if not properties.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            properties.write_text("".join(f"{name}={value}\n" for name, value in self._properties().items()))
            cluster = self._said("random-uuid").split()[-1]
            self._said("format", "-t", cluster, "-c", str(properties))

    def start(self) -> None:
        """Returns when it takes connections."""
        self.prepare()
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._await()

    def _await(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        assert self._process is not None
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"the broker does not answer:\n{(self._folder / 'broker.log').read_text()[-2000:]}")

    def stop(self) -> None:
        """Asks it to end, and waits."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP and SIGCONT: a broker that hangs."""
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _said(self, *arguments: str) -> str:
        """What the tool for the broker's data prints. Raises RuntimeError with all of it where it fails."""
        command = ["java", f"-D{_BARE}", "-cp", f"{self._jars}/*", "kafka.tools.StorageTool", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_SECONDS)
        if done.returncode:
            said = f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
            raise RuntimeError(f"StorageTool {' '.join(arguments)} ended with {done.returncode}:\n{said}")
        return done.stdout

    def _properties(self) -> dict[str, str]:
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{self.controller}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{self.controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self._folder / "data"),
            "num.partitions": "4",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            **self.settings,
        }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def main(arguments: list[str]) -> int:
    try:
        broker = KafkaBroker(CACHE / "kafka-data", int(arguments[0]) if arguments else 9092)
    except KafkaMissing as missing:
        print(missing, file=sys.stderr)
        return 3
    broker.start()
    print(f"Kafka is up at {broker.bootstrap}; its data is in {CACHE / 'kafka-data'}. Ctrl-C ends it.")
    print(f"  INTERPLAY_KAFKA_BOOTSTRAP={broker.bootstrap}")
    with contextlib.suppress(KeyboardInterrupt):
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    broker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

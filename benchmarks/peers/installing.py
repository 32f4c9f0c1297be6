"""Installs peers from package registries, each into a folder of its own below `.cache/peers`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.harness.result import ROOT
from benchmarks.peers.peer import NotHad

PEERS = ROOT / ".cache" / "peers"
_UV = ROOT / ".cache" / "uv" / "bin" / "uv"
_OURS = ROOT / ".venv" / "bin" / "python"
_MINUTES = 15


def python_environment(name: str, packages: Mapping[str, str]) -> Path:
    """A virtual environment with these packages; its folder. The Python is the one that runs us, also when that
    has changed since."""

    def install(folder: Path) -> None:
        wanted = [f"{package}=={version}" for package, version in packages.items()]
        _run(name, [str(_UV), "venv", "--quiet", "--clear", "--python", str(_OURS), str(folder)])
        _run(name, [str(_UV), "pip", "install", "--quiet", "--python", str(folder), *wanted])

    return _once(PEERS / name / "python", {**packages, "python": f"{sys.version} {sys.base_prefix}"}, install)


def node_modules(name: str, packages: Mapping[str, str], below: Mapping[str, str] | None = None) -> Path:
    """A folder whose `node_modules` holds these packages, and `below` them just these versions of what they need.

    Their install scripts are not run.
    """

    def install(folder: Path) -> None:
        wanted = [f"{package}@{version}" for package, version in packages.items()]
        (folder / "package.json").write_text(json.dumps({"overrides": dict(below or {})}))
        quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"]
        _run(name, [_command(name, "npm"), "install", "--prefix", str(folder), *quiet, *wanted])

    return _once(
        PEERS / name / "node",
        {**packages, **{f"below: {one}": version for one, version in (below or {}).items()}},
        install,
    )


def go_programs(name: str, module: Mapping[str, str], programs: Mapping[str, str], keep: str) -> Path:
    """A folder with programs built from a Go module: `programs` are their folders in it, and their names.

    `keep`: a folder of the module that is kept beside them. The build's caches are removed.
    """

    def install(folder: Path) -> None:
        (path, version), *_ = module.items()
        caches = {"GOPATH": str(folder / "modules"), "GOCACHE": str(folder / "build")}
        settings = {**caches, "GOBIN": str(folder), "GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw -buildvcs=false"}
        for program, called in programs.items():
            _run(name, [_command(name, "go"), "install", f"{path}/{program}@v{version}"], settings)
            (folder / program.rsplit("/", 1)[-1]).rename(folder / called)
        source = folder / "modules" / "pkg" / "mod" / f"{path}@v{version}"
        shutil.copytree(source / keep, folder / Path(keep).name)
        for cache in caches.values():
            shutil.rmtree(cache)

    return _once(PEERS / name / "go", {**module, **programs, "keep": keep}, install)


def _once(folder: Path, wanted: Mapping[str, str], install: Callable[[Path], None]) -> Path:
    stamp = folder / "installed.json"
    if stamp.exists() and json.loads(stamp.read_text()) == dict(wanted):
        return folder
    print(f"  installing {', '.join(f'{key} {value}' for key, value in wanted.items())}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    install(folder)
    stamp.write_text(json.dumps(dict(wanted)))
    return folder


def _command(name: str, command: str) -> str:
    found = shutil.which(command)
    if found is None:
        raise NotHad(f"{name} needs the command `{command}`, which is not on this machine")
    return found


def _run(name: str, command: list[str], settings: Mapping[str, str] | None = None) -> None:
    environment = {**os.environ, "UV_SYSTEM_CERTS": "1", "UV_PYTHON_DOWNLOADS": "never", **(settings or {})}
    for variable, source in (("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("SSL_CERT_FILE", "PIP_CERT")):
        if source in environment:
            environment.setdefault(variable, environment[source])
    try:
        done = subprocess.run(
            command, env=environment, cwd=PEERS, capture_output=True, text=True, timeout=_MINUTES * 60, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotHad(f"{name}: `{Path(command[0]).name}` did not install it within {_MINUTES} minutes") from None
    if done.returncode:
        said = " / ".join(done.stderr.strip().splitlines()[-3:])
        raise NotHad(f"{name}: `{Path(command[0]).name} {' '.join(command[1:3])} ...` failed: {said}")

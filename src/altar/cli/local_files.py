"""The files of a grid on one machine: who is trusted, who signs, which contracts hold, and which settings say so.

`plan` looks at what is there and lists what is missing; `carry_out` makes it.
What exists is kept: only a certificate near its end is issued again, and the manifest follows the code.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from altar.adm.errors import ConfigurationError

if TYPE_CHECKING:
    from altar.grid.trust.certificates import CertificateFiles, Role

__all__ = ["LocalGrid", "Step", "carry_out", "plan"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""The names under which the host can be reached."""

RENEW_BEFORE = timedelta(days=7)
"""A certificate that ends within this time is issued again."""

MANIFEST_KEY = "altar.local/manifest"
"""Name of the key that signs the manifest."""

MANIFEST_LIFETIME, SIGN_BEFORE = timedelta(days=365), timedelta(days=30)
"""How long a signed manifest holds, and how long before its end it is signed again."""


@dataclass(frozen=True, slots=True)
class LocalGrid:
    """What a grid on one machine consists of.

    `settings` is the settings file and `root` its directory; all else lies in `.altar` below that, unless the
    settings say otherwise.
    `signing_key` is the private key of the log; `origin` is the log's name.
    `data` is the directory of the host, which remembers the manifests that were active; `tier` is the host's.
    """

    settings: Path
    host: str
    runtimes: tuple[str, ...]
    signing_key: Path
    listen: str
    modules: tuple[str, ...]
    client: str = "me"
    data: Path | None = None
    tier: str = "none"

    @property
    def authority(self) -> Path:
        """Directory of the certificate authority."""
        return self.root / ".altar" / "authority"

    @property
    def manifest(self) -> Path:
        """The manifest that is built from the modules."""
        return self.root / ".altar" / "manifest.json"

    @property
    def signed_manifest(self) -> Path:
        """The same, signed: what the host is given."""
        return self.root / ".altar" / "manifest.signed.json"

    @property
    def manifest_key(self) -> Path:
        """The private key that signs the manifest; no host has it."""
        return self.signing_key.with_name("manifest.pem")

    @property
    def manifest_verifier(self) -> Path:
        """File of the key by which a host trusts the manifest."""
        return self.manifest_key.with_suffix(".vkey")

    @property
    def logs(self) -> Path:
        """Directory of the logs of host and runtimes."""
        return self.root / ".altar" / "logs"

    @property
    def root(self) -> Path:
        """The directory that holds it all."""
        return self.settings.parent

    @property
    def verifier_key(self) -> Path:
        """File of the key that auditors are given."""
        return self.signing_key.with_suffix(".vkey")

    @property
    def origin(self) -> str:
        """Name of the log, as the host gives it."""
        return f"altar.local/{self.host}"

    def certificate(self, role: Role, name: str) -> CertificateFiles:
        """Where the certificate of one party lies."""
        from altar.grid.trust.certificates import CertificateFiles

        at = self.root / ".altar" / "certificates"
        return CertificateFiles(at / f"{role}-{name}.pem", at / f"{role}-{name}.key", at / "authority.pem")

    @property
    def parties(self) -> list[tuple[Role, str]]:
        """Everyone who needs a certificate."""
        return [("host", self.host), ("client", self.client), *(("runtime", one) for one in self.runtimes)]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is there (`keep`), or that has to be made, renewed or written; `path` is where."""

    verb: Literal["keep", "make", "renew", "write"]
    what: str
    path: Path
    do: Callable[[], object] | None = None


def plan(grid: LocalGrid, *, manifest: bytes, now: datetime) -> list[Step]:
    """What has to be done, in order, so that `grid` can start; nothing is touched.

    `manifest` is the manifest as it has to be.
    Raises ConfigurationError CERTIFICATE_ERROR for a certificate or key that exists and cannot be used.
    """
    return [
        _authority(grid),
        *(_certificate(grid, role, name, now=now) for role, name in grid.parties),
        _signing_key(grid),
        _verifier_key(grid),
        _manifest(grid, manifest),
        *_manifest_signature(grid, manifest, now=now),
        _settings(grid),
    ]


def carry_out(steps: Sequence[Step]) -> list[Step]:
    """Do what the steps ask for, and return those that changed something."""
    done = [step for step in steps if step.do is not None]
    for step in done:
        if step.do is not None:
            step.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            step.do()
    return done


def _authority(grid: LocalGrid) -> Step:
    from altar.grid.trust.authority import Authority

    path = grid.authority / "authority.pem"
    if (grid.authority / "authority.key").exists():
        Authority.open(grid.authority)
        return Step("keep", "certificate authority", path)
    return Step("make", "certificate authority", path, lambda: Authority.create(grid.authority))


def _certificate(grid: LocalGrid, role: Role, name: str, *, now: datetime) -> Step:
    from altar.grid.trust.authority import Authority
    from altar.grid.trust.certificates import check_files, read_certificates

    files = grid.certificate(role, name)
    what = f"certificate of the {role} {name}"

    def issue() -> None:
        Authority.open(grid.authority).issue(role, name, files.certificate.parent, hosts=LOOPBACK)

    if not (files.certificate.exists() and files.key.exists()):
        return Step("make", what, files.certificate, issue)
    if not (grid.authority / "authority.key").exists():
        return Step("renew", what, files.certificate, issue)  # the new authority did not issue it
    if read_certificates(files.certificate)[0].not_valid_after_utc - now < RENEW_BEFORE:
        return Step("renew", what, files.certificate, issue)
    check_files(files, role=role, now=now)
    return Step("keep", what, files.certificate)


def _signing_key(grid: LocalGrid) -> Step:
    from altar.ledger.signer import FileSigner

    what = "key that signs the audit log"
    if grid.signing_key.exists():
        return Step("keep", what, grid.signing_key)
    return Step("make", what, grid.signing_key, lambda: FileSigner.create(grid.signing_key, name=grid.origin))


def _verifier_key(grid: LocalGrid) -> Step:
    from altar.ledger.signer import FileSigner

    what, path = "key that verifies it", grid.verifier_key

    def write() -> None:
        vkey = FileSigner.open(grid.signing_key, name=grid.origin).vkey
        _replace(path, f"{vkey}\n".encode())

    if not path.exists() or not grid.signing_key.exists():
        return Step("make", what, path, write)
    if path.read_text(encoding="utf-8").strip() != FileSigner.open(grid.signing_key, name=grid.origin).vkey:
        raise ConfigurationError(
            "CERTIFICATE_ERROR",
            f"{str(path)!r} does not belong to the key {str(grid.signing_key)!r}",
            hint="move it away if the log may be verified with the new key",
        )
    return Step("keep", what, path)


def _manifest(grid: LocalGrid, content: bytes) -> Step:
    path = grid.manifest
    what = f"manifest of {', '.join(grid.modules)}"
    if path.exists() and path.read_bytes() == content:
        return Step("keep", what, path)
    return Step("write" if path.exists() else "make", what, path, lambda: _replace(path, content))


def _manifest_signature(grid: LocalGrid, content: bytes, *, now: datetime) -> list[Step]:
    from altar.cli.trust import MEMORY
    from altar.grid.manifests.manifest_statement import is_current, sign_file
    from altar.grid.manifests.manifest_store import ManifestStore
    from altar.ledger.signer import FileSigner

    key, verifier, signed = grid.manifest_key, grid.manifest_verifier, grid.signed_manifest
    steps = []

    def make_key() -> None:
        verifier.write_text(FileSigner.create(key, name=MANIFEST_KEY).vkey + "\n")

    def write_verifier() -> None:
        _replace(verifier, (FileSigner.open(key, name=MANIFEST_KEY).vkey + "\n").encode())

    def sign() -> None:
        signer = FileSigner.open(key, name=MANIFEST_KEY)
        above = 0 if grid.data is None else ManifestStore(signed, keys=(), memory=grid.data / MEMORY).highest()
        sign_file(grid.manifest, signed, signer, lifetime=MANIFEST_LIFETIME, above=above)

    what = "key that signs the manifest"
    if not key.exists():
        steps.append(Step("make", what, key, make_key))
    else:
        steps.append(Step("keep", what, key))
        if not verifier.exists():
            steps.append(Step("make", "key that verifies it", verifier, write_verifier))
    what = "signed manifest"
    vkey = FileSigner.open(key, name=MANIFEST_KEY).vkey if key.exists() else ""
    if vkey and signed.exists() and is_current(signed, content, key=vkey, until=now + SIGN_BEFORE):
        return [*steps, Step("keep", what, signed)]
    return [*steps, Step("write" if signed.exists() else "make", what, signed, sign)]


def _settings(grid: LocalGrid) -> Step:
    if grid.settings.exists():
        return Step("keep", "settings", grid.settings)
    return Step("make", "settings", grid.settings, lambda: _replace(grid.settings, _toml(grid).encode()))


def _toml(grid: LocalGrid) -> str:
    def place(path: Path) -> str:
        inside = path.is_relative_to(grid.root)
        return _quoted(str(path.relative_to(grid.root) if inside else path))

    def certificate(section: str, role: Role, name: str) -> list[str]:
        files = grid.certificate(role, name)
        keys: Mapping[str, Path] = {
            "certificate": files.certificate,
            "key": files.key,
            "authority": files.authority,
        }
        return ["", f"[{section}]", *(f"{key} = {place(path)}" for key, path in keys.items())]

    # Port 0 is for this run only: nobody could find the host by it.
    fixed = not grid.listen.endswith(":0")
    host = [f"listen = {_quoted(grid.listen)}"] if fixed else []
    runtime = [f"connect = {_quoted(grid.listen)}"] if fixed else []
    promote = [
        "# Without the next line tools run in the process that calls them; with it, on the grid.",
        f"# source = {_quoted(f'grid://{grid.listen}')}",
    ]
    lines = [
        "# Written by `altar up`; it is yours now and will not be written again.",
        *(promote if fixed else ()),
        *certificate("tls", "client", grid.client),
        "",
        "[host]",
        f"name = {_quoted(grid.host)}",
        *host,
        f"manifest = {place(grid.signed_manifest)}",
        f"manifest_keys = [{place(grid.manifest_verifier)}]",
        f"signing_key = {place(grid.signing_key)}",
        *certificate("host.tls", "host", grid.host),
        *(("", "[aesp]", f"tier = {_quoted(grid.tier)}") if grid.tier != "none" else ()),
        "",
        "[runtime]",
        f"runtime_id = {_quoted(grid.runtimes[0])}",
        *runtime,
        f"tools = [{', '.join(map(_quoted, grid.modules))}]",
        *certificate("runtime.tls", "runtime", grid.runtimes[0]),
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # TOML's basic strings are JSON's, as far as names and paths go.
    import json

    return json.dumps(text, ensure_ascii=False)


def _replace(path: Path, content: bytes) -> None:
    """Write a file in one step: a reader finds the old one or the whole new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), 0o644)
    Path(temporary).replace(path)

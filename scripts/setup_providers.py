"""Install what the tests against real identity providers need; quick when all of it is there: `make setup-providers`.

Servers come from Debian's own packages, the OpenID provider and servers of MCP from npm, Python's from
requirements/providers.lock.
Servers are installed and not started: each test starts its own, on loopback, and stops it.
Exit status: 0 when everything is there afterwards; 1 with a list of what is missing and how to get it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "providers"
NODE = ROOT / "requirements" / "node"
LOCK = ROOT / "requirements" / "providers.lock"
VENV = ROOT / ".venv" / "bin"
AUDITORS = ROOT / "scripts/setup_auditors.py"
SANDBOX = ROOT / "scripts/setup_deno.py"
POLICY = Path("/usr/sbin/policy-rc.d")

DEBIAN: dict[str, str] = {
    "ldap-utils": "/usr/bin/ldapadd",
    "openssh-client": "/usr/bin/ssh-agent",
    "php-cli": "/usr/bin/php",
    "php-sqlite3": "/usr/share/php8.2-sqlite3",
    "php-xml": "/usr/share/php8.2-xml",
    "postgresql-15": "/usr/lib/postgresql/15/bin/initdb",
    "rsyslog": "/usr/sbin/rsyslogd",
    "rsyslog-gnutls": "/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so",
    "samba-ad-dc": "/usr/sbin/samba",
    "samba-ad-provision": "/usr/share/samba/setup/provision.ldif",
    "samba-dsdb-modules": "/usr/share/doc/samba-dsdb-modules",
    "simplesamlphp": "/usr/share/simplesamlphp/www/index.php",
    "slapd": "/usr/sbin/slapd",
    "xmlsec1": "/usr/bin/xmlsec1",
}
"""Debian's packages, each with a file that is there once it is installed."""


def main() -> int:
    """Install what is missing and say what was done."""
    missing = [*_debian(), *_python(), *_npm(), *_auditors(), *_deno(), *_weights()]
    for line in missing:
        print(f"missing: {line}", file=sys.stderr)
    if not missing:
        print("All providers are installed.")
    return 1 if missing else 0


def _debian() -> list[str]:
    """Install Debian's packages; give back what could not be."""
    absent = [package for package, file in DEBIAN.items() if not Path(file).exists()]
    if not absent:
        return []
    command = f"apt-get install {' '.join(absent)}"
    if shutil.which("apt-get") is None:
        return [f"{' '.join(absent)} (this is not Debian: install what your system calls them)"]
    if os.geteuid() != 0:
        return [f"{' '.join(absent)} (as root: {command})"]
    print(f"Installing {', '.join(absent)} …")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _services_stay_down():
        _run(["apt-get", "update", "-qq"], env=environment)
        _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *absent], env=environment)
    return [f"{package} ({file} is not there)" for package, file in DEBIAN.items() if not Path(file).exists()]


@contextlib.contextmanager
def _services_stay_down() -> Iterator[None]:
    """Let no package start its service while this block runs, unless the machine has a policy of its own."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def _python() -> list[str]:
    """Install the Python packages of the lock into .venv."""
    stamp = VENV.parent / ".setup-providers"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    python = VENV / "python"
    present = (
        subprocess.run([python, "-c", "import defusedxml, saml2"], capture_output=True, check=False).returncode == 0
    )
    if present and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return []
    print("Installing the Python packages of requirements/providers.lock …")
    uv = [str(VENV / "uv"), "pip", "install", "--quiet", "--python", str(python)]
    if not _run([*uv, "--require-hashes", "--requirement", str(LOCK)]):
        return ["the packages of requirements/providers.lock (see above)"]
    stamp.write_text(wanted, encoding="utf-8")
    return []


def _npm() -> list[str]:
    """Install below .cache/providers what tests run from npm, exactly as its lock file says."""
    if shutil.which("npm") is None:
        return ["npm (needed for the OpenID provider and what tests of MCP run; Debian: apt-get install npm)"]
    wanted = hashlib.sha256((NODE / "package-lock.json").read_bytes()).hexdigest()
    stamp = CACHE / ".npm"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return []
    print("Installing the OpenID provider, servers of MCP and its conformance kit from npm …")
    CACHE.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE / name, CACHE / name)
    if not _run(["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=CACHE):
        return ["the packages of requirements/node (see above)"]
    stamp.write_text(wanted, encoding="utf-8")
    return []


def _auditors() -> list[str]:
    """Install the programs of others that judge the audit log; what is missing is said by that script itself."""
    return [] if _run([sys.executable, str(AUDITORS)]) else ["programs that judge the audit log (see above)"]


def _deno() -> list[str]:
    """Install the sandbox of code that a language model wrote; what is missing is said by that script itself."""
    return [] if _run([sys.executable, str(SANDBOX)]) else ["Deno with Pyodide (see above)"]


def _weights() -> list[str]:
    """Fetch the weights of the language model that runs on this machine into the user's cache."""
    return [] if _run([str(VENV / "altar"), "lm", "fetch"]) else ["the weights of the language model (see above)"]


def _run(command: list[str], *, env: dict[str, str] | None = None, cwd: Path | None = None) -> bool:
    return subprocess.run(command, env=env, cwd=cwd, check=False).returncode == 0


if __name__ == "__main__":
    raise SystemExit(main())

"""A real Active Directory domain controller, by Samba, on loopback: ``with samba(folder) as server``.

It needs root and the fixed ports of Active Directory on 127.0.0.1, so there is one at a time on a machine.
"""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from altar.testing import PATIENCE, until
from tests.providers.presence import need
from tests.providers.slapd import answers

__all__ = ["BASE", "USERS", "Samba", "quoted", "samba"]

BASE = "DC=x,DC=test"
USERS = f"CN=Users,{BASE}"
ADMIN_PASSWORD = "Adm1n!pw"
PROGRAM = "/usr/sbin/samba"
PEOPLE = {"alice": "Al1ce!pw", "bob": "B0b!pw-pw", "carol": "C4rol!pw-pw", "searcher": "Se4rch!pw"}
GROUPS = {"Backend Team": ["alice"], "Eng": ["Backend Team", "bob"], "Staff": ["Eng"]}


@dataclass(frozen=True, slots=True)
class Samba:
    """A controller that runs: its folder, and the file of its CA."""

    folder: Path
    ca_file: Path

    @property
    def url(self) -> str:
        """Address with TLS from the first byte."""
        return "ldaps://127.0.0.1:636"

    @property
    def plain_url(self) -> str:
        """Address for StartTLS."""
        return "ldap://127.0.0.1:389"

    def change(self, ldif: str) -> None:
        """Apply changes written as LDIF, as the administrator."""
        command = ["/usr/bin/ldapmodify", "-x", "-H", self.url, "-D", f"CN=Administrator,{USERS}", "-w", ADMIN_PASSWORD]
        environment = {"LDAPTLS_CACERT": str(self.ca_file)}
        subprocess.run(command, input=ldif, text=True, check=True, capture_output=True, env=environment)


@contextmanager
def samba(folder: Path) -> Iterator[Samba]:
    """Make a domain below ``folder``, start its controller, and end it with the block."""
    need("samba", PROGRAM, "/usr/bin/samba-tool", "/usr/share/samba/setup/provision.ldif", "/usr/bin/ldapmodify")
    if os.geteuid() != 0:
        pytest.skip("samba needs root: make setup-providers")
    provision(folder)
    with (folder / "samba.log").open("wb") as log:
        command = [PROGRAM, "-F", "-M", "single", "--no-process-group", "-s", str(folder / "etc/smb.conf")]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        server = Samba(folder, folder / "ca.crt")
        try:
            until(lambda: answers(636), what="the start of samba")
            server.change("\n".join(first_entries()))
            yield server
        finally:
            process.terminate()
            process.wait(PATIENCE)


def provision(folder: Path) -> None:
    """Make the domain, with a certificate for 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.crt")
    certificate.cert_chain_pems[0].write_to_path(folder / "server.crt")
    certificate.private_key_pem.write_to_path(folder / "server.secret")
    (folder / "server.secret").chmod(0o600)
    options = ["server services = ldap, cldap", "interfaces = lo", "bind interfaces only = yes", "log level = 0"]
    for option, file in (("tls cafile", "ca.crt"), ("tls certfile", "server.crt"), ("tls keyfile", "server.secret")):
        options.append(f"{option} = {folder / file}")
    command = ["samba-tool", "domain", "provision", "--realm=X.TEST", "--domain=X", f"--adminpass={ADMIN_PASSWORD}"]
    command += ["--server-role=dc", "--dns-backend=NONE", f"--targetdir={folder}"]
    command += [f"--option={option}" for option in options]
    subprocess.run(command, check=True, capture_output=True)


def first_entries() -> Iterator[str]:
    """Everybody and every group, as LDIF."""
    for name, password in PEOPLE.items():
        yield from (f"dn: CN={name},{USERS}", "changetype: add", "objectClass: user", f"sAMAccountName: {name}")
        yield from (f"userPrincipalName: {name}@X.TEST", f"mail: {name}@x.test", f"displayName: {name.title()} of X")
        yield from (f"unicodePwd:: {quoted(password)}", "userAccountControl: 512", "")
    for group, members in GROUPS.items():
        yield from (f"dn: CN={group},{USERS}", "changetype: add", "objectClass: group", f"sAMAccountName: {group}")
        yield from (*(f"member: CN={member},{USERS}" for member in members), "")


def quoted(password: str) -> str:
    """A password as Active Directory wants to be told it, in base64."""
    return base64.b64encode(f'"{password}"'.encode("utf-16-le")).decode()

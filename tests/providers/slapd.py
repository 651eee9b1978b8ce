"""A real slapd on loopback with TLS, nested groups through dynlist and a few people: ``with slapd(folder) as …``."""

from __future__ import annotations

import base64
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from altar.testing import PATIENCE, until
from tests.providers.presence import need

__all__ = ["ADMIN", "ADMIN_PASSWORD", "BASE", "Slapd", "free_port", "slapd"]

BASE = "dc=x,dc=test"
ADMIN = f"cn=admin,{BASE}"
ADMIN_PASSWORD = "adminpw"
PROGRAM = "/usr/sbin/slapd"

CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/dyngroup.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload dynlist
pidfile {folder}/slapd.pid
TLSCACertificateFile {folder}/ca.crt
TLSCertificateFile {folder}/server.crt
TLSCertificateKeyFile {folder}/server.secret
security simple_bind=128
sizelimit unlimited
database mdb
maxsize 67108864
suffix "{base}"
rootdn "{admin}"
rootpw {password}
directory {folder}/db
index objectClass,uid,member,entryUUID eq
access to attrs=userPassword by anonymous auth by self write by * none
access to * by users read by * none
overlay dynlist
dynlist-attrset groupOfURLs memberURL member+memberOf@groupOfNames*
"""

PEOPLE = {
    "alice": ("Alice Liddell", "alicepw"),
    "bob": ("Bob", "bobpw"),
    "Zoë": ("Zoë Ŵ", "zoëpw"),
    "we*ird(name)": ("Weird \\ Name", "weirdpw"),
}
GROUPS = {
    "backend": ["uid=alice,ou=people"],
    "eng": ["cn=backend,ou=groups", "uid=bob,ou=people"],
    "staff": ["cn=eng,ou=groups"],
    "empty": ["uid=nobody,ou=people"],
}


@dataclass(frozen=True, slots=True)
class Slapd:
    """A server that runs: its two ports on 127.0.0.1, and the file of its CA."""

    port: int
    tls_port: int
    ca_file: Path

    @property
    def url(self) -> str:
        """Address with TLS from the first byte."""
        return f"ldaps://127.0.0.1:{self.tls_port}"

    @property
    def plain_url(self) -> str:
        """Address for StartTLS."""
        return f"ldap://127.0.0.1:{self.port}"

    def change(self, ldif: str) -> None:
        """Apply changes written as LDIF, as the administrator."""
        command = ["/usr/bin/ldapmodify", "-x", "-H", self.url, "-D", ADMIN, "-w", ADMIN_PASSWORD]
        environment = {"LDAPTLS_CACERT": str(self.ca_file)}
        subprocess.run(command, input=ldif, text=True, check=True, capture_output=True, env=environment)


@contextmanager
def slapd(folder: Path) -> Iterator[Slapd]:
    """Start a server below ``folder`` and end it with the block."""
    need("slapd", PROGRAM, "/usr/bin/ldapmodify")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.crt")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(folder / "server.crt")
    certificate.private_key_pem.write_to_path(folder / "server.secret")
    (folder / "db").mkdir()
    text = CONFIGURATION.format(folder=folder, base=BASE, admin=ADMIN, password=ADMIN_PASSWORD)
    (folder / "slapd.conf").write_text(text)
    (folder / "first.ldif").write_text(first_entries())
    conf = ["-f", str(folder / "slapd.conf")]
    subprocess.run(["/usr/sbin/slapadd", *conf, "-l", str(folder / "first.ldif")], check=True, capture_output=True)
    server = Slapd(free_port(), free_port(), folder / "ca.crt")
    urls = f"ldap://127.0.0.1:{server.port}/ ldaps://127.0.0.1:{server.tls_port}/"
    with (folder / "slapd.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, *conf, "-h", urls, "-d", "0"], stdout=log, stderr=log)
        try:
            until(lambda: answers(server.tls_port) and answers(server.port), what="the start of slapd")
            yield server
        finally:
            process.terminate()
            process.wait(PATIENCE)


def first_entries() -> str:
    """Everybody and every group, as LDIF."""
    lines = [f"dn: {BASE}", "objectClass: domain", "dc: x", ""]
    for unit in ("people", "groups"):
        lines += [f"dn: ou={unit},{BASE}", "objectClass: organizationalUnit", f"ou: {unit}", ""]
    for uid, (name, password) in PEOPLE.items():
        lines += person(uid, name, password)
    for group, members in GROUPS.items():
        lines += [f"dn: cn={group},ou=groups,{BASE}", "objectClass: groupOfNames", f"cn: {group}"]
        lines += [*(f"member: {member},{BASE}" for member in members), ""]
    return "\n".join(lines)


def person(uid: str, name: str, password: str) -> list[str]:
    """One person as lines of LDIF."""
    return [
        f"dn:: {encoded(f'uid={uid},ou=people,{BASE}')}",
        "objectClass: inetOrgPerson",
        f"uid:: {encoded(uid)}",
        f"cn:: {encoded(name)}",
        "sn: X",
        f"mail: {uid.encode('ascii', 'ignore').decode().replace('*', '').replace('(', '').replace(')', '')}@x.test",
        f"userPassword:: {encoded(password)}",
        "",
    ]


def encoded(text: str) -> str:
    """Text as base64, as LDIF wants what is not plain."""
    return base64.b64encode(text.encode()).decode()


def free_port() -> int:
    """A port on loopback that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def answers(port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False

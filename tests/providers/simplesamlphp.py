"""A real SAML identity provider, SimpleSAMLphp on PHP's own server: ``with simplesamlphp(folder) as idp``."""

from __future__ import annotations

import datetime as dt
import html
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from altar.testing import PATIENCE, until
from tests.providers.presence import need
from tests.providers.slapd import answers, free_port

__all__ = ["SimpleSamlPhp", "simplesamlphp"]

SHARE = Path("/usr/share/simplesamlphp/www")

ROUTER = """<?php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if (strpos($path, '/simplesaml/') !== 0) { http_response_code(404); return true; }
$rest = substr($path, strlen('/simplesaml'));
if (preg_match('#^(/.*?\\.php)(/.*)?$#', $rest, $found) && is_file('SHARE' . $found[1])) {
    $_SERVER['SCRIPT_NAME'] = '/simplesaml' . $found[1];
    $_SERVER['PHP_SELF'] = $path;
    $_SERVER['PATH_INFO'] = $found[2] ?? '';
    $_SERVER['SCRIPT_FILENAME'] = 'SHARE' . $found[1];
    chdir(dirname('SHARE' . $found[1]));
    require 'SHARE' . $found[1];
    return true;
}
http_response_code(404);
return true;
"""

CONFIG = """<?php
$config = array_merge($config, [
    'baseurlpath' => 'BASE/simplesaml/', 'certdir' => 'FOLDER/cert/', 'loggingdir' => 'FOLDER/log/',
    'datadir' => 'FOLDER/data/', 'tempdir' => 'FOLDER/tmp', 'logging.handler' => 'file',
    'secretsalt' => 'only-for-tests', 'auth.adminpassword' => 'only-for-tests', 'enable.saml20-idp' => true,
    'metadata.sources' => [['type' => 'flatfile', 'directory' => 'FOLDER/metadata/']],
    'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
    'session.cookie.secure' => false, 'store.type' => 'sql', 'store.sql.dsn' => 'sqlite:FOLDER/data/s.sq3',
    'errorreporting' => false, 'showerrors' => true,
]);
"""

SOURCES = """<?php
$config = ['admin' => ['core:AdminPassword'], 'people' => ['exampleauth:UserPass',
    'alice:pw' => ['uid' => ['alice'], 'mail' => ['alice@x.test'], 'displayName' => ['Alice L'],
        'groups' => ['eng', 'admins']],
    'bob:pw' => ['uid' => ['bob'], 'mail' => ['bob@x.test'], 'groups' => ['eng']],
]];
"""

HOSTED = """<?php
$metadata['BASE/idp'] = ['host' => '__DEFAULT__', 'privatekey' => 'server.pem', 'certificate' => 'server.crt',
    'auth' => 'people', 'saml20.sign.response' => true, 'saml20.sign.assertion' => true,
    'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
    'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
    'authproc' => [3 => ['class' => 'saml:AttributeNameID', 'attribute' => 'uid', 'identifyingAttribute' => 'uid',
        'Format' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent']],
    'attributes.NameFormat' => 'urn:oasis:names:tc:SAML:2.0:attrname-format:basic'];
"""

REMOTE = """<?php
$metadata['ENTITY'] = ['AssertionConsumerService' => 'ACS',
    'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent'];
"""


@dataclass(frozen=True, slots=True)
class SimpleSamlPhp:
    """A provider that runs: its address, and the folder of its configuration."""

    address: str
    folder: Path

    def metadata(self) -> str:
        """The provider's own metadata."""
        answer = httpx.get(f"{self.address}/simplesaml/saml2/idp/metadata.php", trust_env=False, timeout=30)
        return answer.raise_for_status().text

    def know(self, *, entity_id: str, acs: str) -> None:
        """Make a service known to it."""
        text = REMOTE.replace("ENTITY", entity_id).replace("ACS", acs)
        (self.folder / "metadata/saml20-sp-remote.php").write_text(text)

    def sign_in(self, location: str, *, name: str = "alice", password: str = "pw") -> dict[str, str]:
        """Do what a person with a browser does; give the form that the browser would send back."""
        with httpx.Client(follow_redirects=True, trust_env=False, timeout=60) as browser:
            page = browser.get(location)
            action = html.unescape(found(r'<form[^>]*action="([^"]+)"', page.text))
            fields = hidden(page.text) | {"username": name, "password": password}
            page = browser.post(urljoin(str(page.url), action), data=fields)
        return {key: value for key, value in hidden(page.text).items() if key in {"SAMLResponse", "RelayState"}}


@contextmanager
def simplesamlphp(folder: Path) -> Iterator[SimpleSamlPhp]:
    """Start a provider below ``folder`` and end it with the block."""
    need("simplesamlphp", SHARE / "index.php", "/usr/bin/php", "/usr/bin/xmlsec1", modules=("saml2",))
    idp = SimpleSamlPhp(f"http://127.0.0.1:{free_port()}", folder)
    configure(idp)
    environment = {**os.environ, "SIMPLESAMLPHP_CONFIG_DIR": str(folder / "config"), "PHP_CLI_SERVER_WORKERS": "2"}
    port = idp.address.rpartition(":")[2]
    with (folder / "php.log").open("wb") as log:
        command = ["/usr/bin/php", "-S", f"127.0.0.1:{port}", str(folder / "router.php")]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            until(lambda: answers(int(port)), what="the start of PHP")
            yield idp
        finally:
            os.killpg(process.pid, 15)
            process.wait(PATIENCE)


def configure(idp: SimpleSamlPhp) -> None:
    """Write everything the provider reads."""
    folder = idp.folder
    for name in ("config", "cert", "log", "data", "tmp", "metadata"):
        (folder / name).mkdir(parents=True)
    distributed = Path("/etc/simplesamlphp/config.php").read_text().replace("?>", "")
    filled = CONFIG.removeprefix("<?php").replace("BASE", idp.address).replace("FOLDER", str(folder))
    (folder / "config/config.php").write_text(distributed + filled)
    (folder / "config/authsources.php").write_text(SOURCES)
    (folder / "metadata/saml20-idp-hosted.php").write_text(HOSTED.replace("BASE", idp.address))
    (folder / "router.php").write_text(ROUTER.replace("SHARE", str(SHARE)))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
    )
    made = made.not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    (folder / "cert/server.crt").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (folder / "cert/server.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the forms on a page."""
    pairs = re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in pairs}


def found(pattern: str, page: str) -> str:
    """The first group of a pattern; fails with the page when it is not there."""
    match = re.search(pattern, page)
    assert match is not None, page[:2000]
    return match.group(1)

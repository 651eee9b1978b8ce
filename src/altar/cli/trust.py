"""Which manifests a host trusts, from its settings: the mode, the keys, the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from altar.adm.errors import ConfigurationError

if TYPE_CHECKING:
    from altar import settings
    from altar.grid.manifests.manifest_store import ManifestStore

__all__ = ["MEMORY", "manifest_store", "require_mode"]

MEMORY = "manifest.active"
"""The file in the host's data directory that says which manifest was active last."""

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def require_mode(loaded: settings.Settings) -> None:
    """Raise ConfigurationError INCOMPATIBLE_MODE for mode `development` where it may not be.

    It is for one machine, and for an environment that is said to be `development`: one that is not named is production.
    """
    if loaded.host.mode != "development":
        return
    if loaded.environment != "development":
        raise ConfigurationError(
            "INCOMPATIBLE_MODE",
            f"A host in mode 'development' needs the environment 'development', and this one is {loaded.environment!r}",
            hint='set ALTAR_ENVIRONMENT=development, or environment = "development" in altar.toml',
        )
    if loaded.host.listen.rpartition(":")[0] not in _LOOPBACK:
        raise ConfigurationError(
            "INCOMPATIBLE_MODE",
            f"A host in mode 'development' serves this machine only, not {loaded.host.listen!r}",
            hint="use 127.0.0.1, or sign the manifest and leave the mode at 'strict'",
        )


def manifest_store(host: settings.Host) -> ManifestStore:
    """The manifest of a host, with the keys it trusts.

    A file of keys that is named and is not there is an error in mode `strict`; without any, the host trusts nobody.
    """
    from altar.grid.manifests.envelope import read_keys
    from altar.grid.manifests.manifest_store import ManifestStore

    development = host.mode == "development"
    named = host.manifest_keys != type(host).model_fields["manifest_keys"].default and not development
    files = [file for file in host.manifest_keys if named or file.exists()]
    return ManifestStore(host.manifest, keys=read_keys(files), memory=host.data / MEMORY, development=development)

"""`altar manifest`: what a host will trust, written from code and compared with it."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from altar.testing import LocalGrid
from tests.e2e.command import Done, altar

PRICES = '''"""Prices of the shop.

Second paragraph.
"""

import altar


@altar.tool(version="1.2.0")
def price(item: str, count: int = 1) -> float:
    """The price of an item."""
    return 2.5 * count


@altar.tool
def discount(percent: float) -> float:
    """A discount."""
    return percent
'''
STOCK = '''import altar
from shop.prices import price


@altar.tool
def stock(item: str) -> int:
    """How many are left."""
    return 0
'''


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text('"""A shop."""\n')
    (package / "prices.py").write_text(PRICES)
    (package / "stock.py").write_text(STOCK)
    return tmp_path


def test_build_writes_one_contract_for_each_module(shop: Path) -> None:
    done = altar("manifest", "build", "shop.stock", "shop.prices", "-o", "m.json", at=shop)

    assert (done.code, done.out, done.err) == (0, "", "wrote m.json (contracts: 2, functions: 3)\n")
    document = json.loads((shop / "m.json").read_text())
    assert document["manifest_version"] == "1.1.0"
    assert [
        ("shop.prices", "Prices of the shop.", ["discount", "price"]),
        ("shop.stock", "Tools of the module shop.stock.", ["stock"]),
    ] == [
        (one["name"], one["description"], [function["name"] for function in one["function_declarations"]])
        for one in document["contracts"]
    ]


def test_build_gives_the_same_bytes_whatever_the_order(shop: Path) -> None:
    first = altar("manifest", "build", "shop.stock", "shop.prices", at=shop)
    second = altar("manifest", "build", "shop.prices", "shop.stock", "shop.prices", at=shop)

    assert (first.code, second.code) == (0, 0)
    assert first.out == second.out
    assert first.out == json.dumps(first.json, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_a_package_takes_in_the_tools_of_its_modules(shop: Path) -> None:
    (shop / "shop" / "__init__.py").write_text('"""A shop."""\nfrom shop import prices, stock\n')

    built = altar("manifest", "build", "shop", "shop.stock", at=shop).json

    assert {"shop": ["discount", "price"], "shop.stock": ["stock"]} == {
        one["name"]: [function["name"] for function in one["function_declarations"]] for one in built["contracts"]
    }


def test_tools_of_modules_that_are_not_named_are_left_out_and_said_so(shop: Path) -> None:
    done = altar("manifest", "build", "shop.stock", at=shop)

    assert [one["name"] for one in done.json["contracts"]] == ["shop.stock"]
    assert done.err == (
        "warning: left out 'discount': it is declared in 'shop.prices', which is not named\n"
        "warning: left out 'price': it is declared in 'shop.prices', which is not named\n"
    )


def test_metadata_is_written_into_the_manifest(shop: Path) -> None:
    built = altar("manifest", "build", "shop.prices", "--metadata", "owner=a=b", at=shop)
    wrong = altar("manifest", "build", "shop.prices", "--metadata", "owner", at=shop)

    assert built.json["global_metadata"] == {"owner": "a=b"}
    assert wrong.code == 2
    assert wrong.err.startswith("error: 'owner' is not metadata (MALFORMED_REQUEST)")


def test_build_with_json_and_a_file_prints_a_summary(shop: Path) -> None:
    done = altar("manifest", "build", "shop.prices", "-o", "m.json", "--json", at=shop)

    assert done.json == {"file": "m.json", "contracts": 1, "functions": 2}


def test_a_module_without_tools_has_no_manifest(shop: Path) -> None:
    done = altar("manifest", "build", "shop", at=shop)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: The module 'shop' declares no tool (MISSING_MANIFEST)")


def test_a_file_that_cannot_be_written_is_an_error(shop: Path) -> None:
    done = altar("manifest", "build", "shop.prices", "-o", "nowhere/m.json", at=shop)

    assert done.code == 2
    assert done.err.startswith("error: Cannot write 'nowhere/m.json': No such file or directory")


def test_check_against_the_same_code_finds_nothing(shop: Path) -> None:
    altar("manifest", "build", "shop.prices", "-o", "m.json", at=shop)

    plain = altar("manifest", "check", "m.json", "--json", at=shop)
    against = altar("manifest", "check", "m.json", "--against", "shop.prices", "--json", at=shop)

    assert (plain.code, against.code) == (0, 0)
    assert plain.json["digest"] == against.json["digest"]
    assert {one["state"] for one in against.json["functions"]} == {"same"}


def test_check_against_changed_code_names_each_difference(shop: Path) -> None:
    altar("manifest", "build", "shop.prices", "-o", "m.json", at=shop)
    changed = PRICES.replace("count: int = 1", "count: int = 2").replace("discount", "rebate")
    (shop / "shop" / "prices.py").write_text(changed)

    done = altar("manifest", "check", "m.json", "--against", "shop.prices", at=shop)
    as_json = altar("manifest", "check", "m.json", "--against", "shop.prices", "--json", at=shop)

    assert (done.code, as_json.code, as_json.json["ok"]) == (1, 1, False)
    assert {"discount": "missing", "price": "differs", "rebate": "extra"} == {
        one["name"]: one["state"] for one in as_json.json["functions"]
    }
    assert "price(item: string, count: integer = 2); raise its version" in done.out


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "MISSING_MANIFEST"),
        ("{", "INVALID_CONFIG"),
        ('{"a": 1, "a": 1}', "INVALID_CONFIG"),
        ('{"manifest_version": "1.1.0", "contracts": []}', "INVALID_CONFIG"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, content: str | None, code: str) -> None:
    if content is not None:
        (tmp_path / "m.json").write_text(content)

    done = altar("manifest", "check", "m.json", at=tmp_path)

    assert (done.code, done.out) == (2, "")
    assert f"({code})" in done.err


# ── signed manifests ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def signed(shop: Path) -> Path:
    """The shop with a manifest of its prices, a key, and the manifest signed as version 1."""
    altar("manifest", "build", "shop.prices", "-o", "m.json", at=shop)
    assert altar("manifest", "keygen", "key.pem", at=shop).code == 0
    assert altar("manifest", "sign", "m.json", "--key", "key.pem", "-o", "s.json", at=shop).code == 0
    return shop


def sign_change(at: Path, old: str, new: str) -> Done:
    """Change the code, build the manifest and sign it in the place of the signed one."""
    prices = at / "shop" / "prices.py"
    prices.write_text(prices.read_text().replace(old, new))
    altar("manifest", "build", "shop.prices", "-o", "m.json", at=at)
    return altar("manifest", "sign", "m.json", "--key", "key.pem", "-o", "s.json", at=at)


def test_a_key_is_private_and_its_verifier_key_lies_beside_it(signed: Path) -> None:
    again = altar("manifest", "keygen", "key.pem", at=signed)
    other = altar("manifest", "keygen", "other.pem", "--name", "me/other", "--json", at=signed)

    assert 0o600 == (signed / "key.pem").stat().st_mode & 0o777
    assert (signed / "key.vkey").read_text().startswith("altar.local/manifest+")
    assert again.code == 2
    assert other.json["vkey"].startswith("me/other+")


def test_a_signed_manifest_is_verified_with_the_keys_that_are_named(signed: Path) -> None:
    altar("manifest", "keygen", "other.pem", at=signed)

    genuine = altar("manifest", "verify", "s.json", "--keys", "key.vkey", "--json", at=signed)
    foreign = altar("manifest", "verify", "s.json", "--keys", "other.vkey", at=signed)
    plain = altar("manifest", "verify", "m.json", "--keys", "key.vkey", at=signed)

    assert {
        "ok": True,
        "version": 1,
        "signed_by": "altar.local/manifest",
        "functions": 2,
    }.items() <= genuine.json.items()
    assert (genuine.code, foreign.code, plain.code) == (0, 2, 2)
    assert "signed by a key that is not trusted here" in foreign.err
    assert "it is not in a signed envelope" in plain.err


def test_an_altered_signed_manifest_is_not_verified_nor_signed_over(signed: Path) -> None:
    envelope = json.loads((signed / "s.json").read_text())
    payload = json.loads(base64.b64decode(envelope["payload"])) | {"version": 7}
    envelope["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()
    (signed / "s.json").write_text(json.dumps(envelope))

    verified = altar("manifest", "verify", "s.json", "--keys", "key.vkey", at=signed)
    over = altar("manifest", "sign", "m.json", "--key", "key.pem", "-o", "s.json", at=signed)

    assert (verified.code, over.code) == (2, 2)
    assert "it is not what was signed" in verified.err


def test_versions_rise_by_themselves_and_never_fall(signed: Path) -> None:
    second = sign_change(signed, "percent: float", "percent: float = 0.5")
    lower = altar("manifest", "sign", "m.json", "--key", "key.pem", "-o", "s.json", "--version", "2", at=signed)
    higher = altar(
        "manifest", "sign", "m.json", "--key", "key.pem", "-o", "s.json", "--version", "9", "--json", at=signed
    )

    assert second.err.startswith("signed s.json: version 2, until ")
    assert "Version 2 does not follow version 2" in lower.err
    assert (0, 9) == (higher.code, higher.json["version"])


def test_a_manifest_that_has_expired_is_said_so(signed: Path) -> None:
    short = altar(
        "manifest", "sign", "m.json", "--key", "key.pem", "-o", "t.json", "--expires", "90d", "--json", at=signed
    )
    wrong = altar("manifest", "sign", "m.json", "--key", "key.pem", "-o", "t.json", "--expires", "soon", at=signed)

    created, expires = (datetime.fromisoformat(short.json[name]) for name in ("created", "expires"))
    assert timedelta(days=90) == expires - created
    assert wrong.code == 2
    assert "'soon' is no time such as 90d" in wrong.err


def test_a_rollback_is_signed_from_the_older_to_the_active_one(signed: Path) -> None:
    (signed / "s.json").rename(signed / "old.json")
    older = json.loads((signed / "old.json").read_text())
    (signed / "s.json").write_text(json.dumps(older))
    sign_change(signed, "percent: float", "percent: float = 0.5")

    back = altar(
        "manifest", "rollback", "old.json", "--from", "s.json", "--key", "key.pem", "-o", "b.json", "--json", at=signed
    )
    forth = altar("manifest", "rollback", "s.json", "--from", "old.json", "--key", "key.pem", "-o", "c.json", at=signed)

    active = altar("manifest", "verify", "s.json", "--keys", "key.vkey", "--json", at=signed)
    assert (1, 1, active.json["digest"]) == (back.json["version"], back.json["rollback_to"], back.json["previous"])
    assert (2, "Version 2 is not older than version 1" in forth.err) == (forth.code, True)


def test_the_difference_of_two_manifests_says_what_breaks_callers(signed: Path) -> None:
    sign_change(signed, "count: int = 1", "count: int")

    plain = altar("manifest", "diff", "m.json", "s.json", at=signed)
    (signed / "old.json").write_text((signed / "m.json").read_text())
    altar("manifest", "build", "shop.prices", "-o", "m.json", at=signed)
    sign_change(signed, "percent: float", "percent: int")
    checked = altar("manifest", "diff", "old.json", "s.json", "--check", at=signed)
    as_json = altar("manifest", "diff", "old.json", "s.json", "--json", at=signed)

    assert (0, "no tool has changed\n") == (plain.code, plain.out)
    assert checked.code == 1
    assert "changed  discount 1.0.0 → 1.0.0  BREAKS CALLERS" in checked.out
    assert "breaks   arguments /percent: does not take number any more" in checked.out
    assert (0, True, ["discount"]) == (
        as_json.code,
        as_json.json["breaks"],
        [one["tool"] for one in as_json.json["changes"]],
    )


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (["--development"], {}, "needs the environment 'development', and this one is 'production'"),
        (["--development"], {"ALTAR_ENVIRONMENT": "test"}, "and this one is 'test'"),
        (
            ["--development", "--listen", "0.0.0.0:0"],
            {"ALTAR_ENVIRONMENT": "development"},
            "serves this machine only, not '0.0.0.0:0'",
        ),
    ],
)
def test_a_host_in_development_is_for_one_machine_that_says_so(
    arguments: list[str], environ: dict[str, str], words: str, tmp_path: Path
) -> None:
    done = altar("host", *arguments, at=tmp_path, environ=environ)

    assert done.code == 2
    assert words in done.err
    assert "(INCOMPATIBLE_MODE)" in done.err


# ── promotion ────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_runtime_registered_is_promoted_into_a_signed_manifest(signed: Path) -> None:
    settings = {"host.mode": "development", "environment": "development", "runtime.register_tools": "true"}
    with LocalGrid(["shop.prices"], runtimes=1, directory=signed, settings=settings) as grid:
        grid.start_runtime(2, modules=["shop.stock"])
        source = ["--source", grid.source]
        tls = {name.upper(): str(path) for name, path in grid.options.items()}
        environ = {f"ALTAR_TLS_{name}": path for name, path in tls.items()}

        shown = altar("promote", *source, "--manifest", "s.json", at=signed, environ=environ)
        to = ["--key", "key.pem", "-o", "new.json"]
        genuine = json.loads((signed / "s.json").read_text())
        other = base64.b64encode(base64.b64decode(genuine["payload"]).replace(b'"version":1', b'"version":9')).decode()
        (signed / "forged.json").write_text(json.dumps(genuine | {"payload": other}))
        done = altar(
            "promote", *source, "--manifest", "s.json", *to, "--tool", "stock", "--json", at=signed, environ=environ
        )
        forged = altar("promote", *source, "--manifest", "forged.json", *to, at=signed, environ=environ)
        absent = altar("promote", *source, "--tool", "nothing", at=signed, environ=environ)
        stock = signed / "shop" / "stock.py"
        stock.write_text(stock.read_text().replace("item: str", "sku: str"))
        grid.runtimes[2].end()
        grid.start_runtime(2, modules=["shop.stock"])
        clash = altar("promote", *source, "--manifest", "new.json", at=signed, environ=environ)

    assert (0, "added    stock 1.0.0\n") == (shown.code, shown.out), shown.err
    assert (0, 2, ["added"]) == (done.code, done.json["version"], [one["kind"] for one in done.json["changes"]])
    verified = altar("manifest", "verify", "new.json", "--keys", "key.vkey", "--json", at=signed)
    assert (True, 3) == (verified.json["ok"], verified.json["functions"])
    assert (2, True) == (forged.code, "the signature does not fit its content" in forged.err), forged.err
    assert (2, True) == (absent.code, "The host has no tool 'nothing'" in absent.err)
    assert clash.code == 2
    assert "'stock' has another contract than the manifest has at 1.0.0" in clash.err

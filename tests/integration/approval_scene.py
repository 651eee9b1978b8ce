"""A grid of the tier ADVANCED whose policies ask for approval, with people who may give it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from altar.ledger.reader import LogReader
from tests.integration.foundation_scene import PASSWORD, FoundationGrid

BUNDLE = """
name = "payments"

[constants]
limit = {limit}

[[policies]]
name = "large-payments"
tools = ["pay"]
condition = "args.amount > constants.limit && !request.has_approval"
effect = "REQUIRE_APPROVAL"
approvers = ["treasurer"]
quorum = {quorum}
expires = "1h"
message = "Somebody of the treasury looks at it."
{more}
"""
GOVERNANCE = "EnterpriseGovernanceService"


class ApprovalGrid(FoundationGrid):
    """The scene: the tenant acme, alice who calls, tom and tina who are treasurers."""

    def __init__(
        self,
        directory: Path,
        *,
        database_url: str = "",
        settings: Mapping[str, object] | None = None,
        modules: tuple[str, ...] = ("tests/integration/approval_tools.py",),
        governance: Mapping[str, Any] | None = None,
    ) -> None:
        given = {"aesp.tier": "advanced", "aesp.require_review": "false", **(settings or {})}
        super().__init__(directory, modules=modules, database_url=database_url, settings=given, governance=governance)
        self.tokens: dict[str, str] = {}

    def people(self) -> None:
        """Make the tenant and its people."""
        self.tenant("acme")
        self.ask(
            "EnterpriseAuthorizationService/CreateRole",
            {"tenant_id": "acme", "name": "treasurer", "permissions": ["tools:read"]},
        )
        self.tokens["alice"] = self.person("acme", "alice", "developer")
        for name in ("tom", "tina"):
            self.tokens[name] = self.person("acme", name, "developer", "treasurer")
        self.tokens["ada"] = self.person("acme", "ada", "admin")

    def account(self, name: str, email: str, *roles: str) -> None:
        """Make an account of the person with this address."""
        wanted = {
            "tenant_id": "acme",
            "name": name,
            "type": "PRINCIPAL_TYPE_USER",
            "password": True,
            "email": email,
        }
        once = self.ask("EnterpriseIdentityService/CreatePrincipal", wanted)["one_time_password"]
        for role in roles:
            self.give("acme", name, role)
        self.tokens[name] = self.sign_in(name, once, tenant="acme", new_password=f"{PASSWORD}-acme-x")

    def deploy(self, *, limit: int = 100, quorum: int = 1, more: str = "") -> None:
        """Put a bundle in force."""
        source = BUNDLE.format(limit=limit, quorum=quorum, more=more)
        service = "EnterprisePolicyService"
        made = self.ask(f"{service}/CreatePolicy", {"source": source}, credential=self.tokens["ada"])
        looked_at = {name: made["policy"][name] for name in ("version", "digest")}
        self.ask(f"{service}/ActivatePolicy", looked_at, credential=self.tokens["ada"])

    def sign_in_again(self, name: str) -> str:
        """A fresh token of a person."""
        return self.sign_in(name, f"{PASSWORD}-acme-x", tenant="acme")

    def as_(self, name: str, method: str, **request: Any) -> Any:
        """One request of governance in the name of a person."""
        return self.ask(f"{GOVERNANCE}/{method}", request, credential=self.tokens[name])

    def shown(self, name: str, handle: str) -> Any:
        """A request as a person is shown it."""
        return self.as_(name, "GetApproval", approval_id=handle)["approval"]

    def approve(self, name: str, handle: str, **more: Any) -> Any:
        """Approve what is shown."""
        digest = more.pop("digest", None) or self.shown(name, handle)["digest"]
        asked = {"approval_id": handle, "adjudication": "ADJUDICATION_APPROVE", "digest": digest, **more}
        return self.as_(name, "AdjudicateApproval", **asked)["approval"]

    def refuse(self, name: str, handle: str) -> Any:
        """Refuse it."""
        asked = {"approval_id": handle, "adjudication": "ADJUDICATION_REFUSE", "reason": "No."}
        return self.as_(name, "AdjudicateApproval", **asked)["approval"]

    def started(self, handle: str) -> list[dict[str, Any]]:
        """The intents in the log of calls under a handle."""
        with LogReader.open(self.directory / "data/ledger.db") as reader:
            entries = [json.loads(body) for _, body in reader.entries("acme")]
        return [entry for entry in entries if entry["kind"] == "intent" and entry["call"] == handle]

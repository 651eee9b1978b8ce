"""The tools that the policies of this folder are about; none of them does anything."""

from __future__ import annotations

import altar


@altar.tool(read_only=True)
def lookup_order(order: str) -> str:
    """Tell the state of an order."""
    return f"{order}: delivered"


@altar.tool(read_only=True, governance={"contains_pii": True, "compliance_tags": ["GDPR", "residency:eu"]})
def export_customers(country: str) -> list[str]:
    """List the customers of a country, with their addresses."""
    return [f"somebody in {country}"]


@altar.tool(governance={"estimated_cost": "250.00"})
def train_model(dataset: str) -> str:
    """Train a model on rented machines."""
    return f"a model of {dataset}"


@altar.tool
def refund(order: str, amount: float, currency: str) -> float:
    """Give money back to a customer."""
    return amount if order and currency else 0.0


@altar.tool(destructive=True, governance={"risk_assessment": "HIGH"})
def delete_account(account: str) -> str:
    """Delete an account and all that belongs to it."""
    return account


@altar.tool(destructive=True, governance={"risk_assessment": "HIGH"})
def pay_salaries(month: str) -> str:
    """Pay everybody for a month."""
    return month


@altar.tool(read_only=True)
def read_report(path: str) -> str:
    """Read a file below /srv/reports."""
    return path


@altar.tool(read_only=True, name="read_report", version="1.1.0")
def read_report_lines(path: str) -> list[str]:
    """Read the lines of a file below /srv/reports."""
    return [path]


@altar.tool(read_only=True, open_world=True)
def fetch_page(url: str) -> str:
    """Fetch a page of ours over HTTPS."""
    return url


@altar.tool(read_only=True)
def query_database(query: str) -> list[str]:
    """Ask the reporting database."""
    return [query]

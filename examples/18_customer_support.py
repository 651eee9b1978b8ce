"""Customer support that branches: what a customer wants decides which steps run, and a busy database is asked again."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import dspy

import altar
from altar.ai.pipelines import Retry, branch, module, pipeline, tool
from altar.testing import ScriptedLM

DATABASE = sqlite3.connect(":memory:", check_same_thread=False)
DATABASE.executescript("""
    CREATE VIRTUAL TABLE article USING fts5(category, title, text, tokenize = porter);
    INSERT INTO article VALUES
        ('technical', 'Router has no light', 'Hold the button for ten seconds until the light is green.'),
        ('shop', 'Opening hours', 'The router shop is open from nine to five.');
    CREATE TABLE invoice (customer TEXT, month TEXT, euros REAL);
    INSERT INTO invoice VALUES ('c-7', '2026-09', 39.9), ('c-7', '2026-10', 39.9), ('c-7', '2026-10', 39.9);
""")
tries: list[str] = []


@altar.tool(read_only=True)
def search_knowledge_base(query: str, category: str) -> list[dict[str, str]]:
    """Search the articles of one category; best matches first."""
    words = " OR ".join(re.findall(r"\w+", query))
    wanted = "SELECT title, text FROM article WHERE article MATCH ? AND category = ? ORDER BY rank LIMIT 3"
    return [{"title": title, "text": text} for title, text in DATABASE.execute(wanted, (words, category))]


@altar.tool(read_only=True)
def fetch_customer_billing(customer_id: str) -> list[dict[str, Any]]:
    """The invoices of a customer, oldest first."""
    tries.append(customer_id)
    if len(tries) == 1:  # stands for a database that is locked for a moment
        raise altar.ExecutionError("DEPENDENCY_UNAVAILABLE", "The billing database is busy", ran="no")
    rows = DATABASE.execute("SELECT month, euros FROM invoice WHERE customer = ? ORDER BY month", (customer_id,))
    return [{"month": month, "euros": euros} for month, euros in rows]


support = pipeline(
    "customer_support",
    [
        module("query -> intent, urgency", name="intent_classifier"),
        branch("intent", {"technical_issue": "technical", "billing_question": "billing"}, default="general"),
    ],
    pipelines={
        "technical": [
            tool("search_knowledge_base", {"category": "technical"}, output="kb_results"),
            module("query, kb_results -> diagnosis, solution, confidence: float", name="solve", kind="ChainOfThought"),
        ],
        "billing": [
            tool("fetch_customer_billing", output="billing_info", retry=Retry(attempts=3, base=0.01)),
            module("query, billing_info -> answer, requires_human: bool", name="explain"),
        ],
        "general": [module("query -> answer, confidence: float", name="reply")],
    },
    inputs={"query": str, "customer_id": str},
)

script = ScriptedLM(
    [
        {"intent": "technical_issue", "urgency": "high"},
        {"reasoning": "No light.", "diagnosis": "No power.", "solution": "Hold the button.", "confidence": 0.9},
        {"intent": "billing_question", "urgency": "low"},
        {"answer": "October was billed twice.", "requires_human": True},
    ]
)
dspy.configure(lm=script.dspy())

with altar.session(source="later:") as session:
    for query in ("My router has no light", "Why did I pay twice in October?"):
        result = support.run(session, query=query, customer_id="c-7")
        print(result.outputs.get("solution") or result.outputs["answer"])
        print([f"{step.path} x{step.attempts}" for step in result.steps])

# Prints:
# Hold the button.
# ['intent_classifier x1', 'intent/technical/search_knowledge_base x1', 'intent/technical/solve x1']
# October was billed twice.
# ['intent_classifier x1', 'intent/billing/fetch_customer_billing x2', 'intent/billing/explain x1']

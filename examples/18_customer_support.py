# pip install 'altar-ai[dspy]'
"""Customer support that branches: what a customer wants decides which steps run, and a busy database is asked again."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import dspy

import altar
from altar.ai.pipelines import Retry, branch, module, pipeline, tool
from altar.testing import ScriptedLM

DATABASE = sqlite3.connect(":memory:", check_same_thread=False)
DATABASE.executescript((Path(__file__).parent / "data" / "support.sql").read_text())
BUSY = [True, False]  # the billing database is locked for a moment


@altar.tool(read_only=True)
def search_knowledge_base(query: str, category: str) -> list[str]:
    """Search the articles of one category; best matches first.

    Args:
        query: What the customer wrote.
        category: Which articles are searched.
    """
    wanted = "SELECT text FROM article WHERE article MATCH ? AND category = ? ORDER BY rank"
    return [text for (text,) in DATABASE.execute(wanted, (" OR ".join(re.findall(r"\w+", query)), category))]


@altar.tool(read_only=True)
def fetch_customer_billing(customer_id: str) -> list[tuple[str, float]]:
    """The invoices of a customer, oldest first: month and euros.

    Args:
        customer_id: The number on the contract.
    """
    if BUSY.pop(0):
        raise altar.ExecutionError("DEPENDENCY_UNAVAILABLE", "The billing database is busy", ran="no")
    return DATABASE.execute("SELECT month, euros FROM invoice WHERE customer = ? ORDER BY 1", (customer_id,)).fetchall()


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

says = [  # what a language model would say; any other takes the place of this script
    {"intent": "technical_issue", "urgency": "high"},
    {"reasoning": "No light.", "diagnosis": "No power.", "solution": "Hold the button.", "confidence": 0.9},
    {"intent": "billing_question", "urgency": "low"},
    {"answer": "October was billed twice.", "requires_human": True},
    {"intent": "general_inquiry", "urgency": "low"},
    {"answer": "We are open from nine to five.", "confidence": 0.8},
]
dspy.configure(lm=ScriptedLM(says).dspy())

with altar.session(source="later:") as session:
    for query in ("My router has no light", "Why did I pay twice in October?", "When are you open?"):
        result = support.run(session, query=query, customer_id="c-7")
        print(result.outputs.get("solution") or result.outputs["answer"])
        print([f"{step.path} x{step.attempts}" for step in result.steps])

# Prints:
# Hold the button.
# ['intent_classifier x1', 'intent/technical/search_knowledge_base x1', 'intent/technical/solve x1']
# October was billed twice.
# ['intent_classifier x1', 'intent/billing/fetch_customer_billing x2', 'intent/billing/explain x1']
# We are open from nine to five.
# ['intent_classifier x1', 'intent/general/reply x1']

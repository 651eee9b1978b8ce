"""The three pipelines of the specification on real tools, for a runtime and for this process.

The tools search in SQLite, and answers of language models come from a script.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import altar
from altar.ai.pipelines import branch, module, parallel, pipeline, tool
from altar.testing import ScriptedLM

PAGES = (
    ("wikipedia", "Whales", "Whales are mammals that breathe air."),
    ("wikipedia", "Whale song", "Whales sing to find each other."),
    ("arxiv", "On song", "We measure how far the song of whales carries."),
    ("github", "whale-ear", "A program that hears whales in recordings."),
    ("technical", "No light", "Hold the button for ten seconds when the router has no light."),
)
INVOICES = (("c-7", "2026-09", 39.9), ("c-7", "2026-10", 39.9), ("c-8", "2026-10", 5.0))


def _found(source: str, words: str, most: int) -> list[dict[str, str]]:
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE VIRTUAL TABLE page USING fts5(source, title, text, tokenize = porter)")
        database.executemany("INSERT INTO page VALUES (?, ?, ?)", PAGES)
        wanted = " OR ".join(re.findall(r"\w+", words)) or "nothing"
        order = (
            "SELECT title, text FROM page WHERE page MATCH ? AND (source = ? OR ? = '') ORDER BY rank, rowid LIMIT ?"
        )
        rows = database.execute(order, (wanted, source, source, most)).fetchall()
    database.close()
    return [{"title": title, "text": text} for title, text in rows]


@altar.tool(read_only=True)
def search_web(queries: list[str], max_results: int = 5) -> list[dict[str, str]]:
    """Search all pages for any of the queries."""
    return _found("", " ".join(queries), max_results)


@altar.tool(read_only=True)
def search_wikipedia(optimized_query: str) -> list[dict[str, str]]:
    """Search an encyclopedia."""
    return _found("wikipedia", optimized_query, 5)


@altar.tool(read_only=True)
async def search_arxiv(optimized_query: str) -> list[dict[str, str]]:
    """Search papers."""
    return _found("arxiv", optimized_query, 5)


@altar.tool(read_only=True)
def search_github(optimized_query: str) -> list[dict[str, str]]:
    """Search programs."""
    return _found("github", optimized_query, 5)


@altar.tool(read_only=True)
def search_knowledge_base(query: str, category: str) -> list[dict[str, str]]:
    """Search the articles of a category."""
    return _found(category, query, 3)


@altar.tool(read_only=True)
def fetch_customer_billing(customer_id: str) -> list[dict[str, Any]]:
    """The invoices of a customer; raises for one that has none."""
    found = [{"month": month, "euros": euros} for customer, month, euros in INVOICES if customer == customer_id]
    if not found:
        raise altar.ValidationError("UNKNOWN_RESOURCE", f"there is no customer {customer_id!r}", ran="yes")
    return found


def _asks(answer: dict[str, Any]) -> Any:
    return ScriptedLM([answer], repeat=True).dspy()


def _intent() -> Any:
    return ScriptedLM(
        {
            "router": {"intent": "technical_issue", "urgency": "high"},
            "invoice": {"intent": "billing_question", "urgency": "low"},
            "": {"intent": "general_inquiry", "urgency": "low"},
        }
    ).dspy()


research = pipeline(
    "research",
    [
        module(
            "topic -> search_queries: list[str]",
            name="query_generator",
            lm=_asks({"search_queries": ["whales", "whale song"]}),
        ),
        tool("search_web", {"max_results": 10}, inputs={"queries": "search_queries"}, output="search_results"),
        module(
            "search_results -> key_findings, summary",
            kind="ChainOfThought",
            name="result_analyzer",
            lm=_asks({"reasoning": "Read.", "key_findings": "They sing.", "summary": "Whales sing."}),
        ),
        module(
            "key_findings, summary -> final_report",
            name="report_generator",
            lm=_asks({"final_report": "Whales sing to find each other."}),
        ),
    ],
    inputs={"topic": str},
    outputs=["final_report"],
    timeout=60,
)

multi_source = pipeline(
    "multi_source",
    [
        module("question -> optimized_query", lm=_asks({"optimized_query": "whales song"})),
        parallel(
            wikipedia_results=tool("search_wikipedia"),
            arxiv_results=tool("search_arxiv"),
            github_results=tool("search_github"),
        ),
        module(
            "wikipedia_results, arxiv_results, github_results -> synthesized_answer, sources: list[str]",
            kind="ChainOfThought",
            lm=_asks({"reasoning": "Read.", "synthesized_answer": "By song.", "sources": ["Whale song", "On song"]}),
        ),
    ],
    timeout=60,
)

customer_support = pipeline(
    "customer_support",
    [
        module("query -> intent, urgency", name="intent_classifier", lm=_intent()),
        branch(
            "intent",
            {
                "technical_issue": "technical_pipeline",
                "billing_question": "billing_pipeline",
                "general_inquiry": "general_pipeline",
            },
        ),
    ],
    pipelines={
        "technical_pipeline": [
            tool("search_knowledge_base", {"category": "technical"}, output="kb_results"),
            module(
                "query, kb_results -> diagnosis, solution, confidence: float",
                kind="ChainOfThought",
                lm=_asks({"reasoning": "Read.", "diagnosis": "No power.", "solution": "Hold it.", "confidence": 0.9}),
            ),
        ],
        "billing_pipeline": [
            tool("fetch_customer_billing", output="billing_info"),
            module(
                "query, billing_info -> answer, requires_human: bool",
                lm=_asks({"answer": "Two months.", "requires_human": False}),
            ),
        ],
        "general_pipeline": [
            module("query -> answer, confidence: float", lm=_asks({"answer": "?", "confidence": 0.1}))
        ],
    },
    inputs="query: str, customer_id: str = ''",
    timeout=60,
)

research_tool = research.as_tool()
multi_source_tool = multi_source.as_tool()
customer_support_tool = customer_support.as_tool()

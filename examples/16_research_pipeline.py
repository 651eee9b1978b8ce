# pip install 'altar-ai[dspy]'
"""Research in four steps: a model asks, a tool searches, a model reads, a model writes. One list of steps says so."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import dspy

import altar
from altar.ai.pipelines import module, pipeline, tool
from altar.testing import ScriptedLM

LIBRARY = Path(__file__).parent / "data" / "library.jsonl"


@altar.tool(read_only=True)
def search_web(queries: list[str], max_results: int = 5) -> list[dict[str, str]]:
    """Search a small library, best matches first.

    Args:
        queries: What is searched, one after another.
        max_results: How many texts are given at most.
    """
    with closing(sqlite3.connect(":memory:")) as index:
        index.execute("CREATE VIRTUAL TABLE page USING fts5(title, text, tokenize = porter)")
        pages = map(json.loads, LIBRARY.read_text().splitlines())
        index.executemany("INSERT INTO page VALUES (:title, :text)", pages)
        wanted = "SELECT title, text FROM page WHERE page MATCH ? ORDER BY rank"
        found = [row for query in queries for row in index.execute(wanted, (f'"{query}"',))]
    return [{"title": title, "text": text} for title, text in dict.fromkeys(found)][:max_results]


research = pipeline(
    "research",
    [
        module("topic -> search_queries: list[str]", name="query_generator"),
        tool("search_web", {"max_results": 10}, inputs={"queries": "search_queries"}, output="search_results"),
        module("search_results -> key_findings, summary", kind="ChainOfThought", name="result_analyzer"),
        module("key_findings, summary -> final_report", name="report_generator"),
    ],
    inputs={"topic": str},
    outputs=["final_report"],
    timeout=60,
)

# What a language model would say; without this script, `lm = "openai/…"` under [ai] in altar.toml asks a real one.
script = ScriptedLM(
    [
        {"search_queries": ["Bloom filter", "delete elements"]},
        {
            "reasoning": "One text is about sizes, another about removing.",
            "key_findings": "Ten bits a key are usual. A cuckoo filter can delete.",
            "summary": "Small sets that are sometimes wrong.",
        },
        {"final_report": "Use a Bloom filter with ten bits a key, or a cuckoo filter if keys go away."},
    ]
)
dspy.configure(lm=script.dspy())

with altar.session(source="later:") as session:
    result = research.run(session, topic="Sets that may be a little wrong")

    print(result.outputs["final_report"])
    print([page["title"] for page in result.fields["search_results"]])
    for step in result.steps:
        print(step.status, step.path)
print("read by the model:", "RocksDB keeps a Bloom filter" in script.requests[1].prompt)

# Prints:
# Use a Bloom filter with ten bits a key, or a cuckoo filter if keys go away.
# ['Bloom filter', 'Guava BloomFilter', 'RocksDB filter blocks', 'Cuckoo filter (Fan and others 2014)']
# done query_generator
# done search_web
# done result_analyzer
# done report_generator
# read by the model: True

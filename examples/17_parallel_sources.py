# pip install 'altar-ai[dspy]'
"""Ask three sources at the same time: each result gets a name, and the next step waits for all of them."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated

import dspy
from pydantic import Field

import altar
from altar.ai.pipelines import module, parallel, pipeline, tool
from altar.testing import ScriptedLM

LIBRARY = Path(__file__).parent / "data" / "library.jsonl"


def searching(shelf: str) -> altar.ToolFunction[[str], list[str]]:
    """Make a tool that searches one shelf of a small library."""

    @altar.tool(name=f"search_{shelf}", description=f"Search what is from {shelf}.", read_only=True)
    def search(query: Annotated[str, Field(description="Words that a text has.")]) -> list[str]:
        with closing(sqlite3.connect(":memory:")) as index:
            index.execute("CREATE VIRTUAL TABLE page USING fts5(shelf UNINDEXED, title, text, tokenize = porter)")
            pages = map(json.loads, LIBRARY.read_text().splitlines())
            index.executemany("INSERT INTO page VALUES (:shelf, :title, :text)", pages)
            words = " OR ".join(re.findall(r"\w+", query))
            wanted = "SELECT title || ': ' || text FROM page WHERE page MATCH ? AND shelf = ? ORDER BY rank"
            return [text for (text,) in index.execute(wanted, (words, shelf))]

    return search


for shelf in ("wikipedia", "arxiv", "github"):
    searching(shelf)

multi_source = pipeline(
    "multi_source",
    [
        module("question -> optimized_query", name="query_writer"),
        parallel(
            wikipedia_results=tool("search_wikipedia", inputs={"query": "optimized_query"}),
            arxiv_results=tool("search_arxiv", inputs={"query": "optimized_query"}),
            github_results=tool("search_github", inputs={"query": "optimized_query"}),
        ),
        module(
            "wikipedia_results, arxiv_results, github_results -> synthesized_answer, sources: list[str]",
            kind="ChainOfThought",
            name="synthesis",
        ),
    ],
    inputs={"question": str},
    outputs=["synthesized_answer", "sources"],
)

says = [  # what a language model would say; any other takes the place of this script
    {"optimized_query": "distinct elements stream"},
    {
        "reasoning": "A paper has the method, and a program has it built in.",
        "synthesized_answer": "Use HyperLogLog; Redis has it.",
        "sources": ["HyperLogLog (Flajolet and others 2007)", "Redis PFADD and PFCOUNT"],
    },
]
dspy.configure(lm=ScriptedLM(says).dspy())

with altar.session(source="later:") as session:
    result = multi_source.run(session, question="How do I count visitors without keeping them all?")

print(result.outputs["synthesized_answer"], result.outputs["sources"])
for name in ("wikipedia_results", "arxiv_results", "github_results"):
    print(name, [text.partition(":")[0] for text in result.fields[name]])

# Prints:
# Use HyperLogLog; Redis has it. ['HyperLogLog (Flajolet and others 2007)', 'Redis PFADD and PFCOUNT']
# wikipedia_results ['Bloom filter', 'Count-min sketch']
# arxiv_results ['HyperLogLog (Flajolet and others 2007)', 'Cuckoo filter (Fan and others 2014)']
# github_results ['Redis PFADD and PFCOUNT', 'Guava BloomFilter']

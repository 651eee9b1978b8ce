# pip install 'altar-ai[dspy]'
"""Data analysis: a model writes SQL, a tool that can only read runs it, and what a model may not do fails in words."""

from __future__ import annotations

import csv
import sqlite3
from pathlib import Path
from typing import Any

import dspy

import altar
from altar.ai.pipelines import module, pipeline, tool, transform
from altar.testing import ScriptedLM

DATABASE = sqlite3.connect(":memory:", check_same_thread=False)
DATABASE.execute("CREATE TABLE sales (month TEXT, region TEXT, product TEXT, pieces INTEGER, price REAL)")
with (Path(__file__).parent / "data" / "sales.csv").open() as file:
    DATABASE.executemany("INSERT INTO sales VALUES (:month, :region, :product, :pieces, :price)", csv.DictReader(file))
MAY = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}
DATABASE.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in MAY else sqlite3.SQLITE_DENY)


@altar.tool(read_only=True)
def describe_data() -> str:
    """The tables that there are, with their columns."""
    return "\n".join(sql for (sql,) in DATABASE.execute("SELECT sql FROM sqlite_master"))


@altar.tool(read_only=True)
def query(sql: str) -> list[dict[str, str | float | None]]:
    """Run one statement of SQL that only reads; at most 100 rows are given.

    Args:
        sql: The statement, for SQLite.
    """
    try:
        cursor = DATABASE.execute(sql)
    except sqlite3.Error as error:
        raise altar.ExecutionError("TOOL_EXECUTION_FAILED", f"SQLite says: {error}") from error
    names = [column for column, *_ in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchmany(100)]


def draw(rows: list[dict[str, Any]]) -> list[str]:
    """One bar for each row, which has a label and a value."""
    top = max(row["value"] for row in rows)
    return [f"{row['label']} {'#' * round(20 * row['value'] / top):20} {row['value']:.2f}" for row in rows]


analysis = pipeline(
    "data_analysis",
    [
        tool("describe_data", output="tables"),
        module("question, tables -> sql", name="write_sql"),
        tool("query", output="rows"),
        transform(draw, takes=["rows"], gives=["chart"]),
        module("question, rows -> answer", name="explain"),
    ],
    inputs={"question": str},
    outputs=["answer", "chart"],
)

BY_MONTH = "SELECT month AS label, sum(pieces * price) AS value FROM sales WHERE product = 'tea' GROUP BY month"
script = ScriptedLM([{"sql": BY_MONTH}, {"answer": "Tea sold best in September."}, {"sql": "DELETE FROM sales"}])
dspy.configure(lm=script.dspy())

with altar.session(source="later:") as session:
    result = analysis.run(session, question="How did tea sell?")
    print(result.outputs["answer"], *result.outputs["chart"], sep="\n")

    refused = analysis.run(session, question="Forget all sales.")
    print(refused.text)
    print([(step.path, step.status) for step in refused.steps])

# Prints:
# Tea sold best in September.
# 2026-07 #################    700.00
# 2026-08 ###################  819.00
# 2026-09 #################### 846.00
# Step 'query' of 'data_analysis': SQLite says: not authorized (TOOL_EXECUTION_FAILED)
# [('describe_data', 'done'), ('write_sql', 'done'), ('query', 'failed')]

# pip install 'altar-ai[yaml]'
"""Write a pipeline as YAML: it is the same object as in Python, and a slip is told with its line."""

from __future__ import annotations

import altar
from altar.ai.pipelines import load_pipeline, parallel, pipeline, tool, transform

TEXT = """
pipeline: readability
inputs:
  text: {type: string}
steps:
  - parallel:
      words: {tool: count_words}
      sentences: {tool: count_sentences}
  - transform: words_per_sentence
    takes: [words, sentences]
    gives: [score]
outputs: [score]
"""


@altar.tool(read_only=True)
def count_words(text: str) -> int:
    """Count the words of a text.

    Args:
        text: What is counted.
    """
    return len(text.split())


@altar.tool(read_only=True)
def count_sentences(text: str) -> int:
    """Count the sentences of a text.

    Args:
        text: What is counted.
    """
    return sum(text.count(mark) for mark in ".!?")


def words_per_sentence(words: int, sentences: int) -> float:
    """How long a sentence is."""
    return round(words / max(sentences, 1), 1)


written = load_pipeline(TEXT, functions=[words_per_sentence])
made = pipeline(
    "readability",
    [
        parallel(words=tool("count_words"), sentences=tool("count_sentences")),
        transform(words_per_sentence, takes=["words", "sentences"], gives=["score"]),
    ],
    inputs={"text": str},
    outputs=["score"],
)
print(written == made, load_pipeline(made.to_yaml(), functions=[words_per_sentence]) == made)

with altar.session(source="later:") as session:
    print(written.run(session, text="Tea is warm. Is it? Yes, it is!").outputs)

try:
    load_pipeline(TEXT.replace("takes:", "take:"), functions=[words_per_sentence])
except altar.DeclarationError as error:
    print(error)
    print(error.hint)

# Prints:
# True True
# {'score': 2.7}
# line 10, column 5: A step of the kind `transform` has no key 'take'
# did you mean 'takes'?

"""The words of histories, each kept as a small number; the ledger has the list too, so that it explains itself.

Add new words at the end, with a migration that adds them to the table `word`. Knows no recording.
"""

from __future__ import annotations

LATE_ANSWER = "late_answer"
"""An older request was accepted while a repeat was under way."""
DOUBLE = "double"
"""A recording has a second interaction."""
RELOCATED = "relocated"
LOOK_AGAIN = "look_again"
PRUNED = "pruned"
"""Stands after the one line that was left of what came before."""

WORDS = (
    "discovered", "ready", "staged", "submitting", "unconfirmed", "submitted", "analyzed", "quarantined", "refused",
    "duplicate", "skipped", "discarded", "changed", "understood", "faulted", "found_same", "left_out", "unstaged",
    "submit_started", "accepted", "not_created", "outcome_unknown", "doubted", "matched", "cleared", "late_accepted",
    "adopted", "send_again", "retried", "new_interaction", LATE_ANSWER, DOUBLE, RELOCATED, LOOK_AGAIN,
    PRUNED,
)  # fmt: skip
"""States and events; a word that is both is here once. Its number is its place, counted from 1."""

NUMBERS = {word: number for number, word in enumerate(WORDS, start=1)}


def number_of(word: str | None) -> int | None:
    """Return the number that stands for `word`; one that nobody knows is a number in words itself."""
    return NUMBERS[word] if word in NUMBERS else None if word is None else int(word)

"""Words that tables use for yes, for no and for lists."""

import re

NONE = "none"  # a list of nothing
_YES = frozenset({"1", "yes", "y", "true", "t", "present", "positive"})
_NO = frozenset({"0", "no", "n", "false", "f", "absent", "negative", NONE})


def yes_or_no(word: str) -> bool | None:
    """What a word says; None where it says neither."""
    lower = word.strip().lower()
    return True if lower in _YES else False if lower in _NO else None


def parted(word: str) -> list[str]:
    """The names in a list between semicolons or bars."""
    return [name for part in re.split("[;|]", word) if (name := part.strip())]

"""The mistakes that pydantic finds in a description, in our words."""

from typing import Any

from tiramisu.data.entry import EntryError, Place
from tiramisu.text import show

_MESSAGES = {  # by pydantic's error type
    "tuple_type": "expected a list, not {input}",
    "list_type": "expected a list, not {input}",
    "dict_type": "expected `key: value` lines, not {input}",
    "string_type": "expected text, not {input}; put it in quotes",
    "string_pattern_mismatch": "expected text, not {input}; put it in quotes",
    "is_instance_of": "expected text, not {input}; put it in quotes",  # of a path
    "int_type": "expected a whole number, not {input}",
    "float_type": "expected a number, not {input}",
    "float_parsing": "expected a number, not {input}",
    "int_from_float": "expected a whole number, not {input}",
    "greater_than_equal": "expected a number of at least {ge}, not {input}",
    "less_than_equal": "expected a number of at most {le}, not {input}",
    "too_short": "expected {min_length} or more, not {actual_length}",
    "too_long": "expected {max_length} or fewer, not {actual_length}",
    "missing": "missing",
    "extra_forbidden": "unknown key",
    "finite_number": "expected a finite number, not {input}",
    "less_than": "expected a number below {lt}, not {input}",
    "literal_error": "expected {expected}, not {input}",
}


def read_mistake(found: Any) -> tuple[Place, str, Place | None]:
    """The place of a mistake, what is wrong, and another place that it has to do with."""
    place, context = found["loc"], found.get("ctx", {})
    own = context.get("error")  # raised by a validator of ours
    if isinstance(own, EntryError):
        return (*place, *own.place), str(own), own.other
    values = {key: str(value).replace("'", "") for key, value in context.items()}
    template = _MESSAGES.get(found["type"], "{message}")
    return place, template.format(message=found["msg"], input=show(found["input"]), **values), None

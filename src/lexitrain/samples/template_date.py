"""The date that a chat template writes into its prompts: that of the run's first day, on every later day too.

A template that calls `strftime_now` gives other tokens tomorrow. Here the date becomes a part of its text: a macro of
the same name, put in front, hides the clock. The time of day is midnight.
"""

from __future__ import annotations

import json
import re
from datetime import date, datetime

_CLOCK = re.compile(r"\bstrftime_now\b")
_MARK = re.compile(r"\{#lexitrain date (\d{4}-\d\d-\d\d)#\}")
_CODES = "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyYzZ"


def with_date(template: str, day: date) -> str:
    """The template with `day` as its date; as it is where it asks for none, or has one already."""
    if not _CLOCK.search(template) or _MARK.search(template):
        return template
    midnight = datetime(day.year, day.month, day.day)
    steps = ['replace("%%", "\\0")']
    for code in [*_CODES, *(f"-{each}" for each in _CODES)]:
        try:
            written = midnight.strftime(f"%{code}")
        except ValueError:  # not on this system
            continue
        if written != f"%{code}":
            steps.append(f"replace({json.dumps(f'%{code}')}, {json.dumps(written)})")
    steps.append('replace("\\0", "%")')
    # `+%}` keeps the line break that may stand at the template's beginning.
    return (
        f"{{%- macro strftime_now(format) -%}}{{#lexitrain date {day.isoformat()}#}}"
        f"{{{{- format | {' | '.join(steps)} -}}}}{{%- endmacro +%}}{template}"
    )


def date_in(template: str) -> str:
    """The date that `with_date` put in, as 2026-11-28; "" where there is none."""
    found = _MARK.search(template)
    return found[1] if found else ""

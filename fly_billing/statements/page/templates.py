"""Opens HTML templates in which every text is escaped, for the pages of statements and finance.

Not here: the templates, and the formats of each page.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fly_billing.foreign_text import visible


def open_templates(folder: Path) -> Environment:
    """Return the folder's templates. A text can't be HTML, run backwards or hide a part of itself."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        # Runs before text is escaped, so that no text on the page runs backwards or hides a part of itself.
        finalize=lambda value: visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

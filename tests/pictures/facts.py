"""Says inside each PNG what it shows, so that a test can compare the picture with the project as it is today.

Not here: the drawing (`tests.bench.month_plot`, `tests.bench.calls_plot`, `tests.chaos.plot`) and the screenshots
(`screenshots`).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

# The text chunk of the PNG that holds the facts, as JSON.
CHUNK = "fly_billing"
# Elements of the statement page whose text is fixed wording, not data of an organization.
LABELS = {"h2", "dt", "summary", "a"}


def shows(data: Any) -> dict[str, str]:
    """Return the PNG metadata of a plot: a digest of the numbers that it shows."""
    text = json.dumps(json.loads(json.dumps(data)), sort_keys=True)
    return {CHUNK: json.dumps({"data": hashlib.sha256(text.encode()).hexdigest()})}


def shown_by(picture: Path) -> Any:
    """Return the facts inside a PNG. Raises KeyError if it was not made by `make pictures`."""
    with Image.open(picture) as image:
        image.load()
        return json.loads(image.info[CHUNK])


def save(image: Image.Image, picture: Path, facts: Any) -> None:
    """Write a screenshot together with its facts."""
    chunk = PngImagePlugin.PngInfo()
    chunk.add_text(CHUNK, json.dumps(facts, sort_keys=True))
    image.save(picture, pnginfo=chunk, optimize=True)


def write_data(path: Path, data: Any) -> None:
    """Write the numbers of a plot as JSON."""
    path.write_text(json.dumps(data) + "\n", encoding="utf-8")


def asset_graph() -> dict[str, Any]:
    """Return what Dagster's asset graph shows of each asset: its checks, group, kinds and the assets before it."""
    from fly_billing.definitions import build_defs

    graph = build_defs().resolve_asset_graph()
    checks = Counter(check.asset_key for check in graph.asset_check_keys)
    return {
        key.to_user_string(): {
            "checks": checks[key],
            "group": graph.get(key).group_name,
            "kinds": sorted(graph.get(key).kinds),
            "after": sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
        }
        for key in graph.get_all_asset_keys()
    }


def labels_of(page: str) -> list[str]:
    """Return the headings and labels of a statement page, in order, each once."""
    reader = _LabelReader()
    reader.feed(page)
    return list(dict.fromkeys(reader.labels))


class _LabelReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.labels: list[str] = []
        self._tag = ""
        self._is_in_head_of_table = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        is_data = "data" in (dict(attrs).get("class") or "").split()  # a column that is named by a product or an app
        self._tag = "" if is_data else tag
        self._is_in_head_of_table |= tag == "thead"

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""
        self._is_in_head_of_table &= tag != "thead"

    def handle_data(self, data: str) -> None:
        is_label = self._tag in LABELS or (self._is_in_head_of_table and self._tag == "th")
        if is_label and data.strip():
            self.labels.append(data.strip())

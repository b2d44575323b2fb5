"""The documents name files that exist. When a module moves, its line in CONTRIBUTING.md must change too."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUESTIONS = [
    "proration",
    "rounding",
    "late events",
    "Stripe retry",
    "idempotency",
    "spending guard",
    "rate limiting",
    "credit notes",
    "taxes",
    "price models",
]
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
PATH = re.compile(r"`([A-Za-z_]+(?:/[A-Za-z_]+)*(?:\.(?:py|sql|jinja)|(?=/)))/?`")


def test_each_of_a_newcomers_ten_questions_is_answered_by_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("## Where is ...?")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    answers = {question: re.findall(r"`([^`]+)`", files) for question, files in rows}
    assert list(answers) == QUESTIONS
    assert all(answers.values())
    missing = [name for names in answers.values() for name in names if not (ROOT / "fly_billing" / name).exists()]
    assert missing == []


def test_links_in_the_documents_lead_to_files_that_exist() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    links = [(path, link) for path in documents for link in LINK.findall(path.read_text(encoding="utf-8"))]
    assert len(links) > 10
    broken = [f"{path.name}: {link}" for path, link in links if not (path.parent / link).exists()]
    assert broken == []


def test_paths_in_the_documents_exist() -> None:
    """A path may start inside the package: `usage/landing.py` means fly_billing/usage/landing.py."""
    code = [path for folder in ("fly_billing", "tests", "docs", "deploy") for path in (ROOT / folder).rglob("*")]
    known = [f"/{path.relative_to(ROOT).as_posix()}" for path in [*ROOT.iterdir(), *code]]
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    named = [(path.name, name) for path in documents for name in PATH.findall(path.read_text(encoding="utf-8"))]
    assert len(named) > 50
    wrong = {f"{document}: {name}" for document, name in named if not any(path.endswith(f"/{name}") for path in known)}
    assert wrong == set()

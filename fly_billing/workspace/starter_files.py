"""Writes a new workspace: a small one with comments, which can be planned and applied as it stands.

Its YAML files name their JSON Schemas, which are written beside them, so that editors complete and check them.
"""

from __future__ import annotations

import json
from pathlib import Path

from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible
from fly_billing.output_files import make_folder, output_file
from fly_billing.workspace.books_folder import BOOKS
from fly_billing.workspace.file_schemas import SCHEMAS

STARTER = Path(__file__).resolve().parent / "starter"
# The YAML files of the starter name the schemas in it.
SCHEMAS_FOLDER = "schemas"


class FolderNotEmpty(ActionableError):
    """A new workspace would be mixed with other files."""


def write_starter(folder: Path) -> list[str]:
    """Write the files of a new workspace into the folder, which is made if it is missing.

    Returns:
        The names of the files to edit, in order.

    Raises:
        FolderNotEmpty: The folder has files that a workspace could have: tables, YAML or price books.
        FolderNotMade, OutputNotWritten: The folder or a file can't be written.
    """
    make_folder(folder)
    if others := sorted(path.name for path in folder.iterdir() if _may_be_of_a_workspace(path)):
        raise FolderNotEmpty(visible(f"{folder} has {', '.join(others[:5])} already: name a new folder"))
    sources = sorted(path for path in STARTER.rglob("*") if path.is_file())
    for source in sources:
        path = folder / source.relative_to(STARTER)
        _write(path, source.read_bytes())
    for name, schema in SCHEMAS.items():
        _write(folder / SCHEMAS_FOLDER / f"{name}.json", f"{json.dumps(schema(), indent=2)}\n".encode())
    return [str(source.relative_to(STARTER)) for source in sources]


def _write(path: Path, content: bytes) -> None:
    make_folder(path.parent)
    with output_file(path) as file:
        file.write(content)


def _may_be_of_a_workspace(path: Path) -> bool:
    return not path.name.startswith(".") and (path.name == BOOKS or path.suffix in (".yaml", ".yml", ".csv"))

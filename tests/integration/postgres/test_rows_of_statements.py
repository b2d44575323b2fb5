"""Every class that holds the rows of a statement has a field per column, even if no test reads such a row.

mypy can't compare a class with a SQL file, so a column that is added to a statement fails here and not at month end.
A statement that is read as plain values has one column.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from sqlalchemy import text

import fly_billing
from fly_billing.embedded_postgres import PostgresServer
from fly_billing.postgres.statements import sql
from tests.integration.postgres.test_statements import NUMBERED, RUN

PACKAGE = Path(fly_billing.__file__).parent


class Reader(NamedTuple):
    """A call that reads a statement's rows as instances of a class, or as results of a function.

    Attributes:
        required: Parameters without a default.
        accepted: All parameters, or None if it accepts any.
    """

    place: str
    statement: str
    required: frozenset[str]
    accepted: frozenset[str] | None


def readers() -> Iterator[Reader]:
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if name_of(call.func) != "records":
                continue
            for target, statement in zip(call.args, call.args[1:], strict=False):
                if isinstance(statement, ast.Constant) and isinstance(statement.value, str):
                    place = f"{path.relative_to(PACKAGE.parent)}:{call.lineno}"
                    yield Reader(place, statement.value, *parameters(path, tree, target))


def statements_of_values() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and name_of(call.func) == "values":
                yield from (
                    arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                )


def name_of(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def parameters(path: Path, tree: ast.Module, into: ast.expr) -> tuple[frozenset[str], frozenset[str] | None]:
    module = importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
    if isinstance(into, ast.Lambda):
        return of_inner_function(into)
    name = name_of(into)
    if not hasattr(module, name):
        (function,) = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name)
        return of_inner_function(function)
    found = inspect.signature(getattr(module, name)).parameters.values()
    required = frozenset(
        field.name for field in found if field.default is field.empty and field.kind is not field.VAR_KEYWORD
    )
    takes_any = any(field.kind is field.VAR_KEYWORD for field in found)
    return required, None if takes_any else frozenset(field.name for field in found)


def of_inner_function(function: ast.FunctionDef | ast.Lambda) -> tuple[frozenset[str], frozenset[str] | None]:
    names = frozenset(arg.arg for arg in (*function.args.args, *function.args.kwonlyargs))
    return names, None if function.args.kwarg else names


def columns(connection: psycopg.Connection[Any], name: str) -> frozenset[str]:
    statement = str(text(sql(name)).compile(dialect=NUMBERED))
    with connection.transaction(force_rollback=True):
        connection.pgconn.prepare(b"", statement.encode())
        described = connection.pgconn.describe_prepared(b"")
        return frozenset((described.fname(n) or b"").decode() for n in range(described.nfields))


@pytest.fixture(scope="module")
def connection(postgres: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres.url("billing_template", "postgresql")) as connection:
        for name in RUN:
            connection.execute(sql(name).encode())
        yield connection
        connection.rollback()


def test_every_class_of_rows_has_the_columns_of_its_statement(connection: psycopg.Connection[Any]) -> None:
    found = list(readers())
    wrong = {}
    for reader in found:
        names = columns(connection, reader.statement)
        missing = reader.required - names
        unknown = names - reader.accepted if reader.accepted is not None else frozenset()
        if missing or unknown:
            wrong[reader.place, reader.statement] = {"not selected": set(missing), "not a field": set(unknown)}

    assert len(found) > 60
    assert wrong == {}


def test_every_statement_that_is_read_as_values_has_one_column(connection: psycopg.Connection[Any]) -> None:
    found = {name: columns(connection, name) for name in statements_of_values()}

    assert len(found) > 15
    assert {name: names for name, names in found.items() if len(names) != 1} == {}

"""mypy's errors are counted only for the change that caused them."""

from tests.support.mutant_types import errors_of_changes

MODULE = """\
def x_double__mutmut_orig(cents: int) -> int:
    return twice(cents)
def x_double__mutmut_1(cents: int) -> int:
    return twice(None)
def x_double__mutmut_2(cents: int) -> int:
    return twice(cents) + 1
def double(cents: int) -> int:
    return table["orig"](cents)
"""


def error(
    line: int, message: str = "Argument 1 has type None", code: str = "arg-type", severity: str = "error"
) -> dict[str, object]:
    return {"line": line, "code": code, "message": message, "severity": severity}


def lines(*errors: dict[str, object]) -> list[object]:
    return [error["line"] for error in errors_of_changes(MODULE, errors)]


def test_an_error_in_a_changed_function_rejects_that_change() -> None:
    assert lines(error(4)) == [4]


def test_an_error_of_the_unchanged_function_rejects_nothing() -> None:
    assert lines(error(2), error(4), error(6)) == []


def test_an_error_that_the_unchanged_function_does_not_have_rejects_the_change() -> None:
    assert lines(error(2), error(4, "Argument 1 has type str")) == [4]


def test_an_error_outside_of_the_copies_rejects_nothing() -> None:
    assert lines(error(8)) == []


def test_a_comment_that_silences_nothing_and_a_note_reject_nothing() -> None:
    assert lines(error(4, code="unused-ignore"), error(6, severity="note")) == []

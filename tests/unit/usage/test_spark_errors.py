"""Spark's reasons survive in one sentence, however Spark wraps them."""

from __future__ import annotations

from fly_billing.usage.engines.spark_errors import reasons_of

ONE = (
    "[USER_RAISED_EXCEPTION] Spark writes the number 1.2345678E7 otherwise than DuckDB does SQLSTATE: P0001\n\n"
    "JVM stacktrace:\norg.apache.spark.SparkRuntimeException: [USER_RAISED_EXCEPTION] Spark writes the number"
    " 1.2345678E7 otherwise than DuckDB does SQLSTATE: P0001\n\tat org.apache.spark.sql.errors.Example"
)
TWO = (
    "An error occurred while calling o766.getResult.\n: org.apache.spark.SparkException: Exception thrown in"
    " awaitResult:\n\tat java.base/java.lang.Thread.run(Unknown Source)\n"
    "Caused by: org.apache.spark.SparkException: [STAGE_MATERIALIZATION_MULTIPLE_FAILURES] Multiple failures (2) in"
    " stage materialization: \n"
    "  1. SparkRuntimeException: [USER_RAISED_EXCEPTION] Spark writes the number 1.2345678E7 otherwise than DuckDB"
    " does SQLSTATE: P0001\n"
    "  2. ArithmeticException: [ARITHMETIC_OVERFLOW] Overflow in sum of decimals. Use 'try_sum' to tolerate overflow"
    ' and return NULL instead. If necessary set "spark.sql.ansi.enabled" to "false" to bypass this error.'
    " SQLSTATE: 22003 SQLSTATE: XX000\n"
)


def test_the_reason_is_one_sentence_without_the_stack_trace() -> None:
    assert reasons_of(ONE) == ["Spark writes the number 1.2345678E7 otherwise than DuckDB does"]


def test_two_stages_that_fail_at_once_give_both_reasons_without_the_advice_to_charge_nothing() -> None:
    """Without ANSI arithmetic, a sum that overflows is null, and the customer's usage would cost nothing."""
    assert reasons_of(TWO) == [
        "Spark writes the number 1.2345678E7 otherwise than DuckDB does",
        "Overflow in sum of decimals",
    ]


def test_an_error_without_a_reason_gives_its_first_line() -> None:
    assert reasons_of("Answer from Java side is empty\nmore") == ["Answer from Java side is empty"]
    assert reasons_of("") == []

"""A token posts the usage of its source only, and is nowhere but with its sender."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fly_billing.cli.main import app
from fly_billing.settings import Settings, SettingsError
from fly_billing.usage_intake.rules.tokens import InvalidTokenLine, bearer, digest_token, find_source, read_tokens
from fly_billing.usage_intake.server import configured_tokens, local_landing_dir, make_token


def configured(**variables: str) -> list[tuple[str, str]]:
    settings = Settings.from_environment({f"FLY_BILLING_USAGE_{name}": value for name, value in variables.items()})
    return [(token.source, token.digest) for token in configured_tokens(settings)]


def test_a_source_may_have_two_tokens_while_one_replaces_the_other() -> None:
    (old, first), (new, second) = make_token("machines"), make_token("machines")
    other, third = make_token("https://example.com/a proxy")
    known = read_tokens([first.line(), "", "# the new one", f"  {second.line()}  ", third.line()])
    assert [find_source(token, known) for token in (old, new, other)] == ["machines", "machines", third.source]
    assert find_source("fbu_" + "a" * 43, known) is None
    assert find_source(second.digest, known) is None
    assert len({old, new, other}) == 3
    assert len(old) == len("fbu_") + 43  # 256 bits


def test_tokens_are_read_from_the_variable_and_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"# rotated in May\nproxy sha256:{'b' * 64}\n", encoding="utf-8")
    found = configured(
        TOKENS=f"machines sha256:{'a' * 64}; dns sha256:{'c' * 64}", TOKENS_FILE=str(tmp_path / "tokens")
    )
    assert found == [("machines", "a" * 64), ("dns", "c" * 64), ("proxy", "b" * 64)]


def test_a_line_that_is_no_token_is_named_without_its_text(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("proxy fbu_the-token-itself\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"tokens: line 1 is not a token: write SOURCE sha256:DIGEST") as problem:
        configured(TOKENS_FILE=str(tmp_path / "tokens"))
    assert "fbu_" not in str(problem.value)
    with pytest.raises(SettingsError, match="FLY_BILLING_USAGE_TOKENS: line 2"):
        configured(TOKENS=f"machines sha256:{'a' * 64};proxy sha256:{'a' * 63}")
    with pytest.raises(SettingsError, match="can't be read: No such file"):
        configured(TOKENS_FILE=str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="no source may post usage yet: make a token with `fly-billing usage-token"):
        configured(TOKENS=" ; ")


def test_settings_do_not_show_the_digests() -> None:
    settings = Settings.from_environment({"FLY_BILLING_USAGE_TOKENS": f"machines sha256:{'a' * 64}"})
    assert "aaaa" not in repr(settings)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer fbu_a", "fbu_a"),
        ("bearer  fbu_a ", "fbu_a"),
        ("Basic fbu_a", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("", None),
        (None, None),
    ],
)
def test_a_token_is_sent_as_a_bearer(header: str | None, token: str | None) -> None:
    assert bearer(header) == token


def test_the_command_prints_the_token_once_and_the_line_to_configure() -> None:
    done = CliRunner().invoke(app, ["usage-token", "machines"])
    token, line = (text.partition(": ")[2] for text in done.stdout.splitlines())
    assert line == f"machines sha256:{digest_token(token)}"
    assert find_source(token, read_tokens([line])) == "machines"


@pytest.mark.parametrize("source", ["", " a", "a ", "#a", "a;b", "a\nb"])
def test_a_source_that_can_not_be_configured_is_refused(source: str) -> None:
    with pytest.raises(InvalidTokenLine, match="a source has no spaces at its ends"):
        make_token(source)
    done = CliRunner().invoke(app, ["usage-token", source])
    assert (done.exit_code, "fbu_" in done.output) == (2, False)


@pytest.mark.parametrize("url", ["s3://usage/landing", "gs://usage/landing"])
def test_a_landing_folder_in_an_object_store_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="is an object store, in which events can't be appended and synced"):
        local_landing_dir(Settings.from_environment({"FLY_BILLING_LANDING_DIR": url}))


def test_a_landing_folder_that_a_setting_names_must_exist_and_the_default_one_is_made(tmp_path: Path) -> None:
    named = Settings.from_environment({"FLY_BILLING_LANDING_DIR": str(tmp_path / "share")})
    with pytest.raises(SettingsError, match=r"share does not exist\. Is it mounted\?"):
        local_landing_dir(named)
    default = Settings.from_environment({"FLY_BILLING_DATA_DIR": str(tmp_path)})
    assert local_landing_dir(default) == tmp_path.resolve() / "landing"
    assert (tmp_path / "landing").is_dir()

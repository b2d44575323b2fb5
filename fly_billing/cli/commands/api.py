"""Commands about the read API: its server, its tokens, and links to the customer page."""

from __future__ import annotations

from typing import Annotated

import typer

from fly_billing.cli.completion import complete_organization
from fly_billing.cli.parameters import OptionalOrganization, Organization, console
from fly_billing.cli.ports import LARGEST_PORT

PANEL = "API"

app = typer.Typer()
token = typer.Typer(help="Tokens of the API: of an organization, or of an operator.", no_args_is_help=True)
app.add_typer(token, name="token", rich_help_panel=PANEL)
TokenId = Annotated[str, typer.Argument(metavar="ID", help="The token's id, as `token list` shows it")]
Scopes = Annotated[
    str, typer.Option(help="What it reads, with commas. With alerts:write, it also sets spend alerts and the cap")
]
Days = Annotated[int, typer.Option(min=1, max=730, help="Days until it expires")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON")]


@app.command(rich_help_panel=PANEL)
def api(
    port: Annotated[int, typer.Option(min=1, max=LARGEST_PORT, help="Port to listen on")] = 8425,
    host: Annotated[str, typer.Option(help="Address to listen on. Put TLS in front of a public one")] = "127.0.0.1",
) -> None:
    """Serve statements, invoices, usage and balances over HTTP until Ctrl-C. Readers need a token, customers a link."""
    from fly_billing.cli.api_server import serve_api

    serve_api(console, host, port)


@app.command("page-link", rich_help_panel=PANEL)
def page_link(
    organization: Organization,
    days: Annotated[int, typer.Option(min=1, max=90, help="Days until it expires")] = 7,
    as_json: Json = False,
) -> None:
    """Print a link to the page of an organization: its statement, live, for whoever has the link."""
    from fly_billing.cli.page_links import print_link

    print_link(console, organization, days, as_json=as_json)


@app.command("revoke-page-link", rich_help_panel=PANEL)
def revoke_page_link(link: Annotated[str, typer.Argument(help="The link, or its id")]) -> None:
    """End a link to a customer page before it expires. Other links go on working."""
    from fly_billing.cli.page_links import revoke

    revoke(console, link)


@token.command("issue")
def issue_token(
    organization: Annotated[
        str | None,
        typer.Argument(metavar="ORG", help="The organization that it reads", autocompletion=complete_organization),
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for")] = "",
    scopes: Scopes = "statement,invoices,usage,balance,alerts",
    role: Annotated[str | None, typer.Option(help="An operator's: finance, support or issuer. Without ORG")] = None,
    days: Days = 365,
    as_json: Json = False,
) -> None:
    """Issue a token, and show it: only now, because only its digest is stored."""
    from fly_billing.cli.tokens import TokenOptions, issue

    issue(console, organization, TokenOptions(name, scopes, role, days), as_json=as_json)


@token.command("list")
def list_tokens(organization: OptionalOrganization = None, as_json: Json = False) -> None:
    """List the tokens, the newest first: what each reads, and until when."""
    from fly_billing.cli.tokens import show

    show(console, organization, as_json=as_json)


@token.command("revoke")
def revoke_token(token_id: TokenId, as_json: Json = False) -> None:
    """End a token now, for good."""
    from fly_billing.cli.tokens import revoke

    revoke(console, token_id, as_json=as_json)


@token.command("rotate")
def rotate_token(
    token_id: TokenId,
    overlap_hours: Annotated[int, typer.Option(min=0, max=720, help="Hours that the old one still works")] = 24,
    days: Days = 365,
    as_json: Json = False,
) -> None:
    """Issue a token that reads the same as this one, which works for some hours longer."""
    from fly_billing.cli.tokens import rotate

    rotate(console, token_id, overlap_hours, days, as_json=as_json)

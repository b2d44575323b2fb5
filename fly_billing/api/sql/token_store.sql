-- name: issue_api_token
-- One row: when it was issued.
insert into api_tokens (
    id, sha256, organization_id, role, scopes, name, issued_by, replaces, issued_at, expires_at
)
values (
    :id, :sha256, :organization_id, :role, cast(:scopes as text []), :name, :issued_by, :replaces, :issued_at,
    :expires_at
)
returning issued_at;

-- name: issue_organization_token
-- One row: when it was issued. It runs with the rights of the tables' owner, for the role that can only read.
select issue_organization_token(
    :id, :sha256, :organization_id, cast(:scopes as text []), :name, :expires_at, :issuer_id
) as issued_at;

-- name: api_token_by_digest
-- One row: the token with this digest; none if it is unknown.
select
    id, organization_id, role, scopes, name, issued_by, replaces, issued_at, expires_at, revoked_at, revoked_by
from api_tokens
where sha256 = :sha256;

-- name: api_tokens
-- One row per token, the newest first: all, those of one organization, or the one with this id.
select
    id, organization_id, role, scopes, name, issued_by, replaces, issued_at, expires_at, revoked_at, revoked_by
from api_tokens
where (cast(:organization_id as text) is null or organization_id = :organization_id)
    and (cast(:id as uuid) is null or id = :id)
order by issued_at desc, id;

-- name: revoke_api_token
-- One row: the token, if that ends it earlier than it would end already.
update api_tokens set revoked_at = :revoked_at, revoked_by = :revoked_by
where id = :id and expires_at > :revoked_at and (revoked_at is null or revoked_at > :revoked_at)
returning id;

-- name: may_write_invoices
-- One row: whether this role can change bills, which the API's role must not.
select
    has_table_privilege('invoices', 'insert') or has_table_privilege('invoices', 'update')
    or has_table_privilege('invoices', 'delete') as may_write;

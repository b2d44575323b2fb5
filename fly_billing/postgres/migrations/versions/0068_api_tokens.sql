-- Tokens with which people and programs read bills over HTTP. A token is 256 random bits; only its SHA-256 is here.

create table api_tokens (
    id uuid primary key,
    sha256 text not null unique check (sha256 ~ '^[0-9a-f]{64}$'),
    organization_id text references organizations (id),
    role text check (role in ('finance', 'support', 'issuer')),
    scopes text [] not null check (scopes <@ array['statement', 'invoices', 'usage', 'balance', 'alerts']),
    name text not null check (btrim(name) <> '' and length(name) <= 200),
    issued_by text not null check (btrim(issued_by) <> ''),
    issued_with uuid references api_tokens (id),
    replaces uuid unique references api_tokens (id),
    issued_at timestamptz not null
    constraint issued_at_is_a_time check (issued_at >= '1970-01-01Z' and issued_at < '2200-01-01Z'),
    expires_at timestamptz not null
    constraint expires_at_is_a_time check (expires_at >= '1970-01-01Z' and expires_at < '2200-01-01Z'),
    revoked_at timestamptz
    constraint revoked_at_is_a_time check (revoked_at >= '1970-01-01Z' and revoked_at < '2200-01-01Z'),
    revoked_by text check (btrim(revoked_by) <> ''),
    constraint of_an_organization_or_a_role check ((organization_id is null) <> (role is null)),
    constraint scopes_of_an_organization check ((organization_id is null) = (cardinality(scopes) = 0)),
    constraint expires_after_it_was_issued check (expires_at > issued_at),
    constraint revocation_has_a_name check ((revoked_at is null) = (revoked_by is null))
);
create index on api_tokens (organization_id);

comment on table api_tokens is
'One row per token of the read API. A row is never deleted: it tells who could read whose bills, and until when.';
comment on column api_tokens.id is 'The name of the token in commands and logs. It is no secret.';
comment on column api_tokens.sha256 is 'SHA-256 of the token, in hexadecimal. The token itself is stored nowhere.';
comment on column api_tokens.organization_id is 'The only organization that it reads. Null: an operator''s token.';
comment on column api_tokens.role is
'Of an operator''s token: finance reads everything, support all but invoices and balances, issuer only issues tokens.';
comment on column api_tokens.scopes is 'What an organization''s token reads. Empty for a role.';
comment on column api_tokens.name is 'What it is for.';
comment on column api_tokens.issued_by is 'Who issued it: a person, or the name of the issuer''s token.';
comment on column api_tokens.issued_with is 'The issuer''s token, if it was issued over HTTP.';
comment on column api_tokens.replaces is 'The token that it replaces, which works for some time longer.';
comment on column api_tokens.issued_at is 'From when it works.';
comment on column api_tokens.expires_at is 'From when it no longer works.';
comment on column api_tokens.revoked_at is
'From when it no longer works although it has not expired: the revocation, or the end of the overlap after a rotation.';
comment on column api_tokens.revoked_by is 'Who revoked or rotated it.';

create function refuse_later_revocation() returns trigger language plpgsql as $$
begin
    if new.revoked_at is null or new.revoked_at > old.revoked_at
        or (new.revoked_at = old.revoked_at and new.revoked_by <> old.revoked_by)
    then
        raise exception 'token % is revoked: that can only be brought forward', old.id
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

create trigger refuse_other_change before delete or update on api_tokens
for each row execute function refuse_other_change('{revoked_at,revoked_by}');
create trigger refuse_later_revocation before update on api_tokens
for each row when (old.revoked_at is not null) execute function refuse_later_revocation();
create trigger refuse_truncate before truncate on api_tokens
for each statement execute function refuse_truncate();
alter table api_tokens enable always trigger refuse_other_change;
alter table api_tokens enable always trigger refuse_later_revocation;
alter table api_tokens enable always trigger refuse_truncate;

-- The API's role can only read. This function is the one thing that it may add: a token of one organization, if a token
-- with the role issuer works now. It runs with the owner's rights, so its names are found in this schema only.
create function issue_organization_token(
    new_id uuid, new_sha256 text, new_organization_id text, new_scopes text [], new_name text, new_expires_at timestamptz,
    issuer_id uuid
) returns timestamptz language plpgsql security definer as $$
declare
    issuer api_tokens;
    now_is constant timestamptz := clock_timestamp();
begin
    select * into issuer from api_tokens as t
    where t.id = issuer_id and t.role = 'issuer' and t.expires_at > now_is
        and (t.revoked_at is null or t.revoked_at > now_is);
    if not found then
        raise exception 'token % may not issue tokens', issuer_id using errcode = 'insufficient_privilege';
    end if;
    insert into api_tokens (
        id, sha256, organization_id, scopes, name, issued_by, issued_with, issued_at, expires_at
    )
    values (
        new_id, new_sha256, new_organization_id, new_scopes, new_name, issuer.name, issuer.id, now_is, new_expires_at
    );
    return now_is;
end $$;
revoke all on function issue_organization_token(uuid, text, text, text [], text, timestamptz, uuid) from public;
do $$
begin
    execute format(
        'alter function issue_organization_token(uuid, text, text, text [], text, timestamptz, uuid)'
        ' set search_path = %I, pg_temp', current_schema()
    );
end $$;

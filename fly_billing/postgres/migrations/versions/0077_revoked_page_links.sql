-- A single link to a customer page can be revoked, by its id. Links themselves are not stored.
create table page_link_revocations (
    link_id uuid primary key,
    revoked_at timestamptz not null default now()
    constraint revoked_at_is_a_time check (revoked_at >= '1970-01-01Z' and revoked_at < '2200-01-01Z'),
    revoked_by text not null check (revoked_by <> '')
);
comment on table page_link_revocations is
'One row per link to a customer page that somebody revoked before it expired. Rows are kept: they tell who did it.';
comment on column page_link_revocations.link_id is
'The id that is in the link. It is not the link, and opens nothing.';
comment on column page_link_revocations.revoked_at is 'From when it no longer works.';
comment on column page_link_revocations.revoked_by is 'The person who ran the command, or the token of the API.';
create trigger refuse_record_change before update or delete on page_link_revocations
for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on page_link_revocations
for each statement execute function refuse_truncate();
alter table page_link_revocations enable always trigger refuse_record_change;
alter table page_link_revocations enable always trigger refuse_truncate;

create function revoke_page_link(of_link_id uuid) returns boolean language plpgsql as $$
begin
    insert into page_link_revocations (link_id, revoked_by)
    values (of_link_id, coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user))
    on conflict do nothing;
    return found;
end $$;
comment on function revoke_page_link(uuid) is
'Revokes a link in the name that the transaction has: false if it was revoked before.';

-- The API's role can only read. Only a token with the role issuer has this scope.
create function revoke_page_link_with_token(token_id uuid, of_link_id uuid) returns boolean
language plpgsql security definer as $$
begin
    perform act_with_token(token_id, 'page-links:revoke', null);
    return revoke_page_link(of_link_id);
end $$;
revoke all on function revoke_page_link_with_token(uuid, uuid) from public;
do $$
begin
    execute format(
        'alter function revoke_page_link_with_token(uuid, uuid) set search_path = %I, pg_temp', current_schema()
    );
end $$;

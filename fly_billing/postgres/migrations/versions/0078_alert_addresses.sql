-- Spend alerts may go to another address than invoices: developers read the first, accountants the second.
create table alert_addresses (
    organization_id text primary key references organizations (id),
    email text not null check (email ~ '^[^@]+@[^@]+$' and length(email) <= 320),
    set_at timestamptz not null default now()
    constraint set_at_is_a_time check (set_at >= '1970-01-01Z' and set_at < '2200-01-01Z'),
    set_by text not null check (set_by <> '')
);
comment on table alert_addresses is
'The e-mail address for spend alerts of an organization, if it is not that of its billing details.';
comment on column alert_addresses.set_by is 'The person who ran the command, or the token of the API.';
create trigger refuse_truncate before truncate on alert_addresses
for each statement execute function refuse_truncate();
alter table alert_addresses enable always trigger refuse_truncate;

create function set_alert_address(of_organization_id text, of_email text) returns void language plpgsql as $$
begin
    insert into alert_addresses as a (organization_id, email, set_by)
    values (of_organization_id, of_email, coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user))
    on conflict (organization_id) do update set email = excluded.email, set_at = now(), set_by = excluded.set_by
        where a.email <> excluded.email;
end $$;
comment on function set_alert_address(text, text) is
'Sets the address for an organization''s alerts in the name that the transaction has.';

create function remove_alert_address(of_organization_id text) returns boolean language plpgsql as $$
begin
    delete from alert_addresses as a where a.organization_id = of_organization_id;
    return found;
end $$;
comment on function remove_alert_address(text) is
'Sends an organization''s alerts to its billing address again: false if they went there already.';

-- The API's role can only read. Only a token with the role issuer has this scope.
create function set_alert_address_with_token(token_id uuid, of_organization_id text, of_email text) returns void
language plpgsql security definer as $$
begin
    perform act_with_token(token_id, 'alerts:address', of_organization_id);
    if of_email is null then
        perform remove_alert_address(of_organization_id);
    else
        perform set_alert_address(of_organization_id, of_email);
    end if;
end $$;
revoke all on function set_alert_address_with_token(uuid, text, text) from public;
do $$
begin
    execute format(
        'alter function set_alert_address_with_token(uuid, text, text) set search_path = %I, pg_temp', current_schema()
    );
end $$;

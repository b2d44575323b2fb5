-- Customers set their own thresholds and caps with a token of the API. Each change has the name of whoever made it.
alter table api_tokens drop constraint api_tokens_scopes_check;
alter table api_tokens add constraint api_tokens_scopes_check check (
    scopes <@ array['statement', 'invoices', 'usage', 'balance', 'alerts', 'alerts:write']
);
comment on column api_tokens.role is
'Of an operator''s token: finance reads everything, support all but invoices and balances; issuer reads nothing: it issues tokens, makes links, sets thresholds and caps, and acknowledges calls about caps.';
comment on column api_tokens.scopes is
'What an organization''s token reads. alerts:write: it also sets the organization''s thresholds and cap. Empty for a role.';

create table spend_threshold_changes (
    id bigint generated always as identity primary key,
    threshold_id uuid not null references spend_thresholds (id),
    action text not null check (action in ('added', 'removed')),
    changed_at timestamptz not null default now()
    constraint changed_at_is_a_time check (changed_at >= '1970-01-01Z' and changed_at < '2200-01-01Z'),
    changed_by text not null check (changed_by <> '')
);
create index on spend_threshold_changes (threshold_id, id);
comment on table spend_threshold_changes is
'Who added and removed which threshold or cap, and when. Changes before migration 0076 have no row.';
comment on column spend_threshold_changes.threshold_id is 'The threshold or cap.';
comment on column spend_threshold_changes.changed_by is
'The person who ran the command, the token of the API, or the pipeline''s role: a first alert.';
create trigger refuse_record_change before update or delete on spend_threshold_changes
for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on spend_threshold_changes
for each statement execute function refuse_truncate();
alter table spend_threshold_changes enable always trigger refuse_record_change;
alter table spend_threshold_changes enable always trigger refuse_truncate;

create function record_threshold_change() returns trigger language plpgsql as $$
begin
    insert into spend_threshold_changes (threshold_id, action, changed_by)
    values (
        new.id, case when new.removed_at is null then 'added' else 'removed' end,
        coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user)
    );
    return null;
end $$;
create trigger record_threshold_change after insert or update on spend_thresholds
for each row execute function record_threshold_change();
alter table spend_thresholds enable always trigger record_threshold_change;

-- The rules of storing a threshold and a cap, for commands and for tokens.
create function add_spend_threshold(
    of_organization_id text, of_kind text, of_subject text, in_currency text, of_amount_cents bigint, of_percent integer
) returns table (threshold_id uuid, is_new boolean) language plpgsql as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('spend thresholds of ' || of_organization_id, 0));
    insert into spend_thresholds as t (organization_id, kind, subject, currency, amount_cents, percent)
    values (of_organization_id, of_kind, of_subject, in_currency, of_amount_cents, of_percent)
    on conflict (organization_id, kind, subject, currency, amount_cents, percent) do update
        set removed_at = null
        where t.removed_at is not null
    returning t.id into threshold_id;
    is_new := found;
    if not is_new then
        select t.id into threshold_id from spend_thresholds as t
        where t.organization_id = of_organization_id and t.kind = of_kind and t.currency = in_currency
            and t.subject is not distinct from of_subject and t.amount_cents is not distinct from of_amount_cents
            and t.percent is not distinct from of_percent;
    elsif of_kind <> 'cap' and 100 < (
        select count(*) from spend_thresholds as t
        where t.organization_id = of_organization_id and t.kind <> 'cap' and t.removed_at is null
    ) then
        raise exception 'an organization has at most 100 spend alerts: remove some first'
            using errcode = 'check_violation', constraint = 'at_most_100_spend_alerts';
    end if;
    return next;
end $$;
comment on function add_spend_threshold(text, text, text, text, bigint, integer) is
'Sets a threshold, once: is_new is false if the organization has it already.';

create function set_spend_cap(of_organization_id text, in_currency text, of_amount_cents bigint)
returns table (threshold_id uuid, is_new boolean) language plpgsql as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('spend thresholds of ' || of_organization_id, 0));
    update spend_thresholds as t set removed_at = now()
    where t.organization_id = of_organization_id and t.kind = 'cap' and t.removed_at is null
        and (t.currency <> in_currency or t.amount_cents <> of_amount_cents);
    return query
    select a.threshold_id, a.is_new
    from add_spend_threshold(of_organization_id, 'cap', null, in_currency, of_amount_cents, null) as a;
end $$;
comment on function set_spend_cap(text, text, bigint) is
'Sets the organization''s cap in place of the one that it has: is_new is false if it is the same.';

create function acknowledge_cap_call(of_organization_id text, in_channel text, of_number integer)
returns boolean language plpgsql as $$
begin
    update alerts as a set taken_at = now()
    from (select max(c.number) as number from spend_cap_calls as c where c.organization_id = of_organization_id) as newest
    where a.key = 'spend cap ' || of_organization_id || ' ' || newest.number
        and newest.number = coalesce(of_number, newest.number)
        and a.channel = in_channel and a.taken_at is null and a.given_up_at is null;
    return found;
end $$;
comment on function acknowledge_cap_call(text, text, integer) is
'Acknowledges the organization''s newest call, if it waits and has this number (null: any).';

-- The API's role can only read. With the functions below it writes what a token may, which each of them checks. They run
-- with the owner's rights, so their names are found in this schema only.
create function act_with_token(token_id uuid, needed_scope text, of_organization_id text) returns void
language plpgsql as $$
declare
    now_is constant timestamptz := clock_timestamp();
    token_name text;
begin
    select t.name into token_name from api_tokens as t
    where t.id = token_id and t.expires_at > now_is and (t.revoked_at is null or t.revoked_at > now_is)
        and (t.role = 'issuer' or (t.organization_id = of_organization_id and needed_scope = any(t.scopes)));
    if not found then
        raise exception 'token % may not do that', token_id using errcode = 'insufficient_privilege';
    end if;
    perform set_config('fly_billing.who', 'token ' || token_id || ' (' || token_name || ')', true);
end $$;
comment on function act_with_token(uuid, text, text) is
'Refuses a token that does not work or may not do this for the organization. What follows is recorded in its name.';

create function add_spend_threshold_with_token(
    token_id uuid, of_organization_id text, of_kind text, of_subject text, in_currency text, of_amount_cents bigint,
    of_percent integer
) returns table (threshold_id uuid, is_new boolean) language plpgsql security definer as $$
begin
    perform act_with_token(token_id, 'alerts:write', of_organization_id);
    return query select a.threshold_id, a.is_new from add_spend_threshold(
        of_organization_id, of_kind, of_subject, in_currency, of_amount_cents, of_percent
    ) as a;
end $$;

create function remove_spend_threshold_with_token(token_id uuid, of_organization_id text, of_threshold_id uuid)
returns boolean language plpgsql security definer as $$
begin
    perform act_with_token(token_id, 'alerts:write', of_organization_id);
    update spend_thresholds as t set removed_at = now()
    where t.id = of_threshold_id and t.organization_id = of_organization_id and t.removed_at is null;
    return found or exists (
        select from spend_thresholds as t where t.id = of_threshold_id and t.organization_id = of_organization_id
    );
end $$;

create function set_spend_cap_with_token(
    token_id uuid, of_organization_id text, in_currency text, of_amount_cents bigint
) returns table (threshold_id uuid, is_new boolean) language plpgsql security definer as $$
begin
    perform act_with_token(token_id, 'alerts:write', of_organization_id);
    return query select s.threshold_id, s.is_new
    from set_spend_cap(of_organization_id, in_currency, of_amount_cents) as s;
end $$;

create function acknowledge_cap_call_with_token(
    token_id uuid, of_organization_id text, in_channel text, of_number integer
) returns boolean language plpgsql security definer as $$
begin
    perform act_with_token(token_id, 'alerts:acknowledge', of_organization_id);
    return acknowledge_cap_call(of_organization_id, in_channel, of_number) or exists (
        select from alerts as a
        where a.key = 'spend cap ' || of_organization_id || ' ' || of_number and a.channel = in_channel
            and a.taken_at is not null
    );
end $$;

do $$
declare
    signature text;
begin
    foreach signature in array array[
        'add_spend_threshold_with_token(uuid, text, text, text, text, bigint, integer)',
        'remove_spend_threshold_with_token(uuid, text, uuid)',
        'set_spend_cap_with_token(uuid, text, text, bigint)',
        'acknowledge_cap_call_with_token(uuid, text, text, integer)'
    ] loop
        execute format('revoke all on function %s from public', signature);
        execute format('alter function %s set search_path = %I, pg_temp', signature, current_schema());
    end loop;
end $$;

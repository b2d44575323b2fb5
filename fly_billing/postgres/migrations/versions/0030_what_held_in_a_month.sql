-- A month is billed, and billed again, with what held in it: attributes of organizations are dated, a correction goes to
-- whoever paid the month, and terms of a closed month that change are written down for a person to decide.

-- Attributes of organizations -----------------------------------------------------------------------------------------

create table organization_history (
    organization_id text not null references organizations,
    before_month date not null
        constraint before_month_is_a_day check (before_month >= '1970-01-01' and before_month < '2200-01-01')
        constraint before_month_is_a_month check (extract(day from before_month) = 1),
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    price_book text not null,
    kept_at timestamptz not null default now()
        constraint kept_at_is_a_time check (kept_at >= '1970-01-01Z' and kept_at < '2200-01-01Z'),
    primary key (organization_id, before_month)
);
comment on table organization_history is
    'what held of an organization in the months before before_month; what holds from the last one on is in organizations.'
    ' Written by a trigger when the organization changes. An organization without a row has always been as it is now';

create function last_final_month(organization text) returns date language sql stable as $$
    select max(month) from (
        select max(i.month) as month from invoices as i where i.organization_id = organization and i.status <> 'open'
        union all
        select max(i.month)
        from organization_links as l
        join invoices as i
            on i.organization_id = l.payer_id and i.status <> 'open'
            and daterange(l.first_month, l.last_month, '[]') @> i.month
        where l.organization_id = organization
    ) as final
$$;
comment on function last_final_month is
    'the last month of which an organization, or who pays for it then, has a final invoice; void ones included';

create function keep_what_held() returns trigger language plpgsql as $$
declare
    final constant date := last_final_month(old.id);
    asked constant date := nullif(current_setting('fly_billing.from_month', true), '');
    first_month constant date := coalesce(asked, (final + interval '1 month')::date);
    recorded constant date := (select max(before_month) from organization_history where organization_id = old.id);
begin
    if first_month is null then
        return null; -- nothing was billed: it has always been so
    end if;
    if asked <= final then
        raise exception '% has a final invoice of %: its currency and price book can change from the next month on',
            old.id, to_char(final, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation', hint = 'set fly_billing.from_month to a later month';
    end if;
    if first_month < recorded then
        raise exception '% changes from % on already: another change can not begin before', old.id, to_char(recorded, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation', hint = 'set fly_billing.from_month to that month or a later one';
    end if;
    if new.currency <> old.currency and exists (
        select from adjustments as a
        where a.payer_id = old.id and a.credit_note_id is null
            and not exists (
                select from invoice_items as t join invoices as i on i.id = t.invoice_id
                where t.adjustment_id = a.id and i.status <> 'open'
            )
            and not exists (select from invoices as i where i.id = a.invoice_id and i.status = 'void')
    ) then
        raise exception '% has adjustments in % that no final invoice has yet: its currency can not change before', old.id, old.currency
            using errcode = 'integrity_constraint_violation', hint = 'change it once they are billed';
    end if;
    -- A second change before the next month is billed: what was billed had the values from before the first.
    insert into organization_history (organization_id, before_month, currency, price_book)
    values (old.id, first_month, old.currency, old.price_book)
    on conflict do nothing;
    return null;
end $$;

create trigger keep_what_held after update on organizations
    for each row when ((old.currency, old.price_book) is distinct from (new.currency, new.price_book))
    execute function keep_what_held();

create function refuse_later_creation() returns trigger language plpgsql as $$
declare
    billed date;
begin
    select min(i.month) into billed
    from invoices as i
    where i.status not in ('open', 'void') and i.origin = 'billed'
        and (i.month + interval '1 month') at time zone 'UTC' <= new.created_at
        and (
            i.organization_id = old.id
            or exists (
                select from organization_links as l
                where l.organization_id = old.id and l.payer_id = i.organization_id
                    and daterange(l.first_month, l.last_month, '[]') @> i.month
            )
        );
    if billed is not null then
        raise exception '% was billed for %: it can not have been created later', old.id, to_char(billed, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

create trigger refuse_later_creation before update on organizations
    for each row when (new.created_at > old.created_at) execute function refuse_later_creation();

create trigger refuse_record_change before update or delete on organization_history
    for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on organization_history
    for each statement execute function refuse_truncate();

-- Who gets a correction: whoever paid the month -----------------------------------------------------------------------

alter table adjustments add column payer_id text references organizations;
comment on column adjustments.payer_id is 'whose invoice it corrects, and on whose next one it is; organization_id: whose usage';
alter table adjustments disable trigger refuse_record_change;
update adjustments as a set payer_id = i.organization_id from invoices as i where i.id = a.invoice_id;
alter table adjustments enable always trigger refuse_record_change;
alter table adjustments alter column payer_id set not null;
create index on adjustments (payer_id, month);

create function name_payer() returns trigger language plpgsql as $$
begin
    select organization_id into new.payer_id from invoices where id = new.invoice_id;
    return new;
end $$;

create trigger name_payer before insert on adjustments for each row execute function name_payer();

-- Changed terms of closed months --------------------------------------------------------------------------------------

create table term_changes (
    id bigint generated always as identity primary key,
    on_table text not null,
    organization_id text references organizations,
    book text,
    first_month date not null
        constraint first_month_is_a_day check (first_month >= '1970-01-01' and first_month < '2200-01-01'),
    last_month date constraint last_month_is_a_day check (last_month >= '1970-01-01' and last_month < '2200-01-01'),
    what text not null,
    changed_at timestamptz not null default now()
        constraint changed_at_is_a_time check (changed_at >= '1970-01-01Z' and changed_at < '2200-01-01Z'),
    changed_by text not null,
    check ((organization_id is null) <> (book is null))
);
comment on table term_changes is
    'terms and prices of closed months that changed after a month was final: whether it is corrected is for a person to'
    ' decide. Written by triggers; nothing is corrected by it';
comment on column term_changes.organization_id is 'whose term it is; null: a price, which is of a whole book';
create index on term_changes (first_month);

create table term_decisions (
    id bigint generated always as identity primary key,
    invoice_id uuid not null references invoices,
    up_to_change bigint not null,
    decided_by text not null check (decided_by <> ''),
    why text not null check (why <> ''),
    decided_at timestamptz not null
        constraint decided_at_is_a_time check (decided_at >= '1970-01-01Z' and decided_at < '2200-01-01Z')
);
comment on table term_decisions is
    'final invoices that a person left as they are, although terms of their month changed: up to this term_changes.id';
create index on term_decisions (invoice_id);

create function month_of(moment timestamptz) returns date language sql immutable as $$
    select cast(date_trunc('month', moment, 'UTC') at time zone 'UTC' as date)
$$;

-- From when and until when the row says something: the months, last one included (null: for good).
create function months_of_term(on_table text, term jsonb, out first_month date, out last_month date) language sql immutable as $$
    select
        case on_table
            when 'subscriptions' then month_of((term ->> 'started_at')::timestamptz)
            when 'prices' then month_of((term ->> 'effective_from')::timestamptz)
            else (term ->> 'first_month')::date
        end,
        case on_table
            when 'subscriptions' then month_of((term ->> 'ended_at')::timestamptz)
            when 'prices' then month_of((term ->> 'effective_until')::timestamptz)
            else (term ->> 'last_month')::date
        end
$$;

-- Its arguments: what the term is called, the column with its name, and the column with its end.
create function note_term_change() returns trigger language plpgsql as $$
declare
    term constant jsonb := case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
    months record;
    before_that record;
    is_end_only boolean := false;
    closed date;
begin
    if tg_op = 'UPDATE' and to_jsonb(new) = to_jsonb(old) then
        return null;
    end if;
    select * into months from months_of_term(tg_table_name, term);
    if tg_op = 'UPDATE' then
        select * into before_that from months_of_term(tg_table_name, to_jsonb(old));
        is_end_only := to_jsonb(new) - tg_argv[2] = to_jsonb(old) - tg_argv[2];
        if is_end_only then -- only the months from the earlier end on
            months.first_month := least(months.last_month, before_that.last_month);
        else
            months.first_month := least(months.first_month, before_that.first_month);
        end if;
        months.last_month := case
            when months.last_month is null or before_that.last_month is null then null
            else greatest(months.last_month, before_that.last_month)
        end;
    end if;
    if tg_table_name = 'prices' then
        select max(month) into closed from invoices
        where status not in ('open', 'void') and origin = 'billed' and month >= months.first_month
            and month <= coalesce(months.last_month, '2199-12-01');
    else
        select max(i.month) into closed
        from invoices as i
        where i.status not in ('open', 'void') and i.origin = 'billed' and i.month >= months.first_month
            and i.month <= coalesce(months.last_month, '2199-12-01')
            and (
                i.organization_id = term ->> 'organization_id'
                or exists (
                    select from organization_links as l
                    where l.organization_id = term ->> 'organization_id' and l.payer_id = i.organization_id
                        and daterange(l.first_month, l.last_month, '[]') @> i.month
                )
            );
    end if;
    if closed is null then
        return null;
    end if;
    insert into term_changes (on_table, organization_id, book, first_month, last_month, what, changed_by)
    values (
        tg_table_name, term ->> 'organization_id', term ->> 'book', months.first_month, months.last_month,
        format(
            '%s %s %s', tg_argv[0], term ->> tg_argv[1],
            case tg_op when 'INSERT' then 'was added' when 'DELETE' then 'was deleted' else 'was changed' end
        ),
        coalesce(nullif(current_setting('fly_billing.who', true), ''), session_user)
    );
    if tg_table_name <> 'prices' then
        raise notice '% has a final invoice of %: it stays as it is until somebody decides on it',
            term ->> 'organization_id', to_char(closed, 'YYYY-MM')
            using hint = 'fly-billing rebill shows what would change and books it';
    end if;
    return null;
end $$;

create trigger note_term_change after insert or update or delete on subscriptions
    for each row execute function note_term_change('subscription', 'price_key', 'ended_at');
create trigger note_term_change after insert or update or delete on discounts
    for each row execute function note_term_change('discount', 'coupon_code', 'last_month');
create trigger note_term_change after insert or update or delete on commitments
    for each row execute function note_term_change('commitment', 'description', 'last_month');
create trigger note_term_change after insert or update or delete on prices
    for each row execute function note_term_change('price', 'key', 'effective_until');

create trigger refuse_record_change before update or delete on term_changes
    for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on term_changes for each statement execute function refuse_truncate();
create trigger refuse_record_change before update or delete on term_decisions
    for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on term_decisions for each statement execute function refuse_truncate();

do $$
declare
    one record;
begin
    for one in
        select t.tgrelid::regclass as on_table, t.tgname from pg_trigger as t
        join pg_class as c on c.oid = t.tgrelid
        where c.relnamespace = current_schema()::regnamespace and not t.tgisinternal and t.tgname like 'refuse\_%'
            and c.relname in ('organization_history', 'term_changes', 'term_decisions', 'organizations')
    loop
        execute format('alter table %s enable always trigger %I', one.on_table, one.tgname);
    end loop;
end $$;

-- Who is billed, who pays for whom, and what held in earlier months.

create table organizations (
    id text primary key check (id ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$' and length(id) <= 63 and id !~ '^tail-[0-9]+$'),
    name text not null check (name <> ''),
    currency char(3) not null default 'USD' check (currency ~ '^[A-Z]{3}$'),
    price_book text not null default 'fly',
    stripe_customer_id text unique,
    billing_group text not null,
    created_at timestamptz not null
);
comment on column organizations.id is 'not tail-NN: so the shared billing groups are called';
comment on column organizations.billing_group is 'key of the org partition dimension; never changes by itself';
create index on organizations (billing_group);

create table organization_links (
    organization_id text not null references organizations,
    payer_id text not null references organizations check (payer_id <> organization_id),
    first_month date not null check (extract(day from first_month) = 1),
    last_month date check (extract(day from last_month) = 1 and last_month >= first_month),
    primary key (organization_id, first_month)
);
comment on table organization_links is
    'in these months (last_month included; null: for good) the organization is on its payer''s invoice and has none itself';
create index on organization_links (payer_id);

-- A month is billed, and billed again, with what was true of its organization in that month.
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
create trigger refuse_record_change before update or delete on organization_history
    for each row execute function refuse_record_change();

create function refuse_wrong_link() returns trigger language plpgsql as $$
declare
    most constant integer := 100;
    final record;
begin
    if exists (
        select from organization_links as l
        where (l.organization_id, l.first_month) <> (new.organization_id, new.first_month)
            and daterange(l.first_month, l.last_month, '[]') && daterange(new.first_month, new.last_month, '[]')
            and (l.organization_id in (new.organization_id, new.payer_id) or l.payer_id = new.organization_id)
    ) then
        raise exception '% can not be linked to % from % on: one of them is linked otherwise at that time',
            new.organization_id, new.payer_id, new.first_month
            using errcode = 'integrity_constraint_violation',
                  hint = 'an organization has one payer at a time, and a payer is linked to nobody';
    end if;
    if (select count(*) from organization_links as l
        where l.payer_id = new.payer_id and l.organization_id <> new.organization_id
        and daterange(l.first_month, l.last_month, '[]') && daterange(new.first_month, new.last_month, '[]')) >= most
    then
        raise exception '% pays for % organizations already', new.payer_id, most
            using errcode = 'integrity_constraint_violation';
    end if;
    select i.organization_id, i.month into final
    from invoices as i
    where i.organization_id in (new.organization_id, new.payer_id) and i.status <> 'open'
        and daterange(new.first_month, new.last_month, '[]') @> i.month
        and (tg_op = 'INSERT' or not daterange(old.first_month, old.last_month, '[]') @> i.month)
    order by i.month desc limit 1;
    if found then
        raise exception '% has a final invoice of % already', final.organization_id, final.month
            using errcode = 'integrity_constraint_violation', hint = 'link from a later month on';
    end if;
    if (select created_at from organizations where id = new.payer_id)
        >= (new.first_month + interval '1 month') at time zone 'UTC'
    then
        raise exception '% did not exist yet in %: it can not pay for that month', new.payer_id, new.first_month
            using errcode = 'integrity_constraint_violation', hint = 'link from a later month on';
    end if;
    if (select currency from organizations where id = new.organization_id)
        <> (select currency from organizations where id = new.payer_id)
    then
        raise exception '% and % are billed in different currencies', new.organization_id, new.payer_id
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

create trigger refuse_wrong_link before insert or update on organization_links
    for each row execute function refuse_wrong_link();

-- A month in which the payer's invoice has the organization's usage is never billed to the organization as well.
create function refuse_unlinking_of_billed() returns trigger language plpgsql as $$
declare
    billed date;
begin
    if tg_op = 'UPDATE' and (new.organization_id, new.payer_id, new.first_month)
        <> (old.organization_id, old.payer_id, old.first_month)
    then
        raise exception 'the link of % to % from % on can only be ended',
            old.organization_id, old.payer_id, old.first_month
            using errcode = 'integrity_constraint_violation', hint = 'set its last_month, and add another link';
    end if;
    select max(i.month) into billed
    from invoices as i
    where i.organization_id = old.payer_id and i.status <> 'open'
        and daterange(old.first_month, old.last_month, '[]') @> i.month
        and (tg_op = 'DELETE' or not daterange(new.first_month, new.last_month, '[]') @> i.month);
    if billed is not null then
        raise exception '% is on the final invoice of % for %', old.organization_id, old.payer_id, billed
            using errcode = 'integrity_constraint_violation', hint = 'end the link with that month or a later one';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end $$;

create trigger refuse_unlinking_of_billed before update or delete on organization_links
    for each row execute function refuse_unlinking_of_billed();

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

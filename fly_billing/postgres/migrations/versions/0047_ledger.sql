-- The ledger: double entries per organization and currency. An entry is posted in the transaction of its cause, names it,
-- and is never changed. docs/ledger.md explains it. A debit is positive, a credit is negative.

create table ledger_transactions (
    id bigint generated always as identity,
    organization_id text not null references organizations,
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    month date not null
    check (extract(day from month) = 1)
    constraint month_is_a_day check (month >= '1970-01-01' and month < '2200-01-01'),
    event text not null check (event <> ''),
    invoice_change_id bigint references invoice_changes,
    credit_note_id uuid references credit_notes,
    credit_grant_id uuid references credit_grants,
    posted_at timestamptz not null default now()
    constraint posted_at_is_a_time check (posted_at >= '1970-01-01Z' and posted_at < '2200-01-01Z'),
    primary key (organization_id, currency, month, id),
    constraint one_source check (num_nonnulls(invoice_change_id, credit_note_id, credit_grant_id) = 1)
);
comment on table ledger_transactions is
'One row per event that moved an amount: a final, paid, void or uncollectible invoice, a credit note, or prepaid credit.';
comment on column ledger_transactions.id is 'Identifies the transaction; later ones have higher ids.';
comment on column ledger_transactions.organization_id is 'The payer.';
comment on column ledger_transactions.currency is 'ISO 4217.';
comment on column ledger_transactions.month is
'The accounting month, its first day: the billed month of a final invoice, otherwise the month of the event.';
comment on column ledger_transactions.event is 'A key of ledger.rules.events.EVENTS.';
comment on column ledger_transactions.invoice_change_id is 'The change of an invoice''s status that caused it.';
comment on column ledger_transactions.credit_note_id is 'The credit note that caused it.';
comment on column ledger_transactions.credit_grant_id is 'The prepaid credit that caused it.';
comment on column ledger_transactions.posted_at is 'When it was posted.';

-- A source posts once.
create unique index invoice_changes_are_posted_once on ledger_transactions (invoice_change_id)
where invoice_change_id is not null;
create unique index credit_notes_are_posted_once on ledger_transactions (credit_note_id) where credit_note_id is not null;
create unique index credits_are_posted_once on ledger_transactions (credit_grant_id) where credit_grant_id is not null;

-- The key contains what a balance needs, so that a balance is one scan of an organization's part of it.
create table ledger_entries (
    organization_id text not null,
    currency char(3) not null,
    month date not null constraint month_is_a_day check (month >= '1970-01-01' and month < '2200-01-01'),
    transaction_id bigint not null,
    account text not null check (account in (
        'cash', 'receivable', 'disputed', 'stripe_balance', 'tax_payable', 'customer_credit', 'deferred_revenue', 'revenue',
        'breakage', 'refunds', 'written_off'
    )),
    amount_cents bigint not null
    check (amount_cents <> 0)
    constraint amount_cents_is_finite check (abs(amount_cents) < 1000000000000000),
    primary key (organization_id, currency, month, transaction_id, account) include (amount_cents),
    constraint entries_have_a_transaction
    foreign key (organization_id, currency, month, transaction_id) references ledger_transactions
);
comment on table ledger_entries is
'One row per account that a transaction moved. The entries of a transaction sum to zero. Rows are only added.';
comment on column ledger_entries.organization_id is 'The payer, as in the transaction.';
comment on column ledger_entries.currency is 'ISO 4217, as in the transaction.';
comment on column ledger_entries.month is 'The accounting month, as in the transaction.';
comment on column ledger_entries.transaction_id is 'ledger_transactions.id.';
comment on column ledger_entries.account is 'A key of ledger.rules.accounts.ACCOUNTS.';
comment on column ledger_entries.amount_cents is 'Debits are positive, credits negative, in the currency''s minor unit.';

create trigger refuse_record_change before update or delete on ledger_transactions
for each row execute function refuse_record_change();
create trigger refuse_record_change before update or delete on ledger_entries
for each row execute function refuse_record_change();

-- Once per statement: all entries of a transaction are inserted together.
create function refuse_unbalanced_entries() returns trigger language plpgsql as $$
declare
    wrong record;
begin
    select transaction_id, organization_id, sum(amount_cents) as total into wrong
    from added group by transaction_id, organization_id having sum(amount_cents) <> 0 limit 1;
    if found then
        raise exception 'the entries of ledger transaction % of % sum to % instead of 0',
            wrong.transaction_id, wrong.organization_id, wrong.total
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;
create trigger refuse_unbalanced_entries after insert on ledger_entries
referencing new table as added for each statement execute function refuse_unbalanced_entries();

create trigger refuse_truncate before truncate on ledger_transactions
for each statement execute function refuse_truncate();
create trigger refuse_truncate before truncate on ledger_entries
for each statement execute function refuse_truncate();
alter table ledger_transactions enable always trigger refuse_record_change;
alter table ledger_transactions enable always trigger refuse_truncate;
alter table ledger_entries enable always trigger refuse_record_change;
alter table ledger_entries enable always trigger refuse_unbalanced_entries;
alter table ledger_entries enable always trigger refuse_truncate;

-- The same lines as ledger.rules.events, of the events that are posted.
create function ledger_rules() returns table (event text, account text, sign integer, amount text)
language sql immutable as $$
    values
        ('invoice_finalized', 'receivable', 1, 'total'),
        ('invoice_finalized', 'customer_credit', 1, 'credit'),
        ('invoice_finalized', 'revenue', -1, 'revenue'),
        ('invoice_finalized', 'tax_payable', -1, 'tax'),
        ('invoice_paid', 'cash', 1, 'asked'),
        ('invoice_paid', 'receivable', -1, 'asked'),
        ('invoice_voided', 'receivable', -1, 'total'),
        ('invoice_voided', 'customer_credit', -1, 'credit'),
        ('invoice_voided', 'revenue', 1, 'revenue'),
        ('invoice_voided', 'tax_payable', 1, 'tax'),
        ('invoice_written_off', 'written_off', 1, 'asked'),
        ('invoice_written_off', 'receivable', -1, 'asked'),
        ('written_off_invoice_paid', 'cash', 1, 'asked'),
        ('written_off_invoice_paid', 'written_off', -1, 'asked'),
        ('written_off_invoice_voided', 'receivable', -1, 'total'),
        ('written_off_invoice_voided', 'customer_credit', -1, 'credit'),
        ('written_off_invoice_voided', 'revenue', 1, 'revenue'),
        ('written_off_invoice_voided', 'tax_payable', 1, 'tax'),
        ('written_off_invoice_voided', 'written_off', -1, 'asked'),
        ('written_off_invoice_voided', 'receivable', 1, 'asked'),
        ('credit_note_issued', 'revenue', 1, 'note'),
        ('credit_note_issued', 'customer_credit', -1, 'note'),
        ('credit_note_issued', 'revenue', 1, 'returned'),
        ('credit_note_issued', 'customer_credit', -1, 'returned'),
        ('prepaid_credit_granted', 'deferred_revenue', 1, 'granted'),
        ('prepaid_credit_granted', 'customer_credit', -1, 'granted')
$$;
comment on function ledger_rules() is
'The entries that each event makes. sign: 1 for a debit, -1 for a credit. A test compares them with ledger.rules.events.';

create function to_minor_unit(amount numeric, currency text) returns bigint language sql immutable as $$
    select cast(round(amount * case
        when currency in (
            'BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'MGA', 'PYG', 'RWF', 'UGX', 'VND', 'VUV', 'XAF', 'XOF',
            'XPF'
        ) then 1
        when currency in ('BHD', 'JOD', 'KWD', 'OMR', 'TND') then 1000
        else 100
    end) as bigint)
$$;
comment on function to_minor_unit(numeric, text) is 'Rounds an exact amount as money.to_cents: halves away from zero.';

create function is_customers_money(credit uuid) returns boolean language sql stable as $$
    select exists (
        select from credit_grants as g
        where g.id = credit
            and (g.pays = 'gross' or exists (select from credit_notes as n where n.credit_grant_id = g.id))
    )
$$;
comment on function is_customers_money(uuid) is
'Whether the platform owes the credit: prepaid credit and credit notes. A promotion only lowers revenue when it is used.';

-- Each lateral part is looked up by the invoice's keys. Written as a join, it is compared with all invoices there are
-- where Postgres believes that there are none.
create view ledger_rebuilt as
select
    c.id as invoice_change_id, cast(null as uuid) as credit_note_id, cast(null as uuid) as credit_grant_id,
    i.month as source_month, i.organization_id, i.currency, moved.month, moved.event, entry.account, entry.amount_cents
from invoice_changes as c
join invoices as i on i.id = c.invoice_id
cross join lateral (
    select
        case c.to_status
            when 'finalized' then 'invoice_finalized'
            when 'paid' then
                case c.from_status when 'uncollectible' then 'written_off_invoice_paid' else 'invoice_paid' end
            when 'void' then
                case c.from_status when 'uncollectible' then 'written_off_invoice_voided' else 'invoice_voided' end
            when 'uncollectible' then 'invoice_written_off'
        end as event,
        case c.to_status
            when 'finalized' then i.month
            when 'paid' then month_of(i.paid_at)
            else month_of(c.changed_at)
        end as month
) as moved
cross join lateral (
    select
        coalesce(sum(t.amount_cents) filter (where t.kind = 'tax'), 0) as added_tax,
        coalesce(-sum(t.amount_cents) filter (where case
            when t.credit_grant_id is not null then is_customers_money(t.credit_grant_id)
            when t.adjustment_id is not null then is_customers_money(
                (select a.credit_grant_id from adjustments as a where a.id = t.adjustment_id)
            )
        end), 0) as credit
    from invoice_items as t
    where t.invoice_id = i.id and t.kind in ('tax', 'credit', 'adjustment') and c.to_status in ('finalized', 'void')
) as items
cross join lateral (
    select coalesce(sum(x.tax_cents), 0) as contained_tax
    from invoice_taxes as x
    where x.invoice_id = i.id and x.is_inclusive and c.to_status in ('finalized', 'void')
) as taxes
cross join lateral (
    select coalesce(
        (select s.stripe_due_cents from stripe_invoices as s where s.invoice_id = i.id), greatest(i.total_cents, 0)
    ) as asked
) as payment
cross join lateral (
    select
        r.account,
        cast(sum(r.sign * case r.amount
            when 'total' then i.total_cents
            when 'credit' then items.credit
            when 'tax' then items.added_tax + taxes.contained_tax
            when 'revenue' then i.total_cents + items.credit - items.added_tax - taxes.contained_tax
            when 'asked' then payment.asked
        end) as bigint) as amount_cents
    from ledger_rules() as r
    where r.event = moved.event
    group by r.account
) as entry
where entry.amount_cents <> 0
union all
select
    null, n.id, null, i.month, i.organization_id, i.currency, month_of(n.made_at), 'credit_note_issued', entry.account,
    entry.amount_cents
from credit_notes as n
join invoices as i on i.id = n.invoice_id
cross join lateral (
    select coalesce(to_minor_unit(sum(a.amount), i.currency), 0) as returned
    from adjustments as a
    where a.invoice_id = n.invoice_id and a.credit_note_id = n.id and is_customers_money(a.credit_grant_id)
) as credits
cross join lateral (
    select
        r.account,
        cast(sum(r.sign * case r.amount when 'note' then n.amount_cents when 'returned' then credits.returned end) as bigint)
            as amount_cents
    from ledger_rules() as r
    where r.event = 'credit_note_issued'
    group by r.account
) as entry
where entry.amount_cents <> 0
union all
select
    null, null, g.id, month_of(g.granted_at), g.organization_id, g.currency, month_of(g.granted_at), r.event, r.account,
    r.sign * to_minor_unit(g.amount, g.currency)
from credit_grants as g
join ledger_rules() as r on r.event = 'prepaid_credit_granted'
where g.pays = 'gross' and to_minor_unit(g.amount, g.currency) <> 0;
comment on view ledger_rebuilt is
'The entries that the ledger must have, calculated from their sources. Posting reads them, and a check compares them.';
comment on column ledger_rebuilt.invoice_change_id is 'The source: a change of an invoice''s status.';
comment on column ledger_rebuilt.credit_note_id is 'The source: a credit note.';
comment on column ledger_rebuilt.credit_grant_id is 'The source: prepaid credit.';
comment on column ledger_rebuilt.source_month is 'The billed month of the invoice, or the month that grants the credit.';
comment on column ledger_rebuilt.organization_id is 'The payer.';
comment on column ledger_rebuilt.currency is 'ISO 4217.';
comment on column ledger_rebuilt.month is 'The accounting month.';
comment on column ledger_rebuilt.event is 'A key of ledger.rules.events.EVENTS.';
comment on column ledger_rebuilt.account is 'A key of ledger.rules.accounts.ACCOUNTS.';
comment on column ledger_rebuilt.amount_cents is 'Debits are positive, credits negative, in the currency''s minor unit.';

create view ledger_posted as
with sources as (
    select
        c.id as invoice_change_id, cast(null as uuid) as credit_note_id, cast(null as uuid) as credit_grant_id,
        i.month as source_month, t.organization_id, t.currency, t.month, t.event, t.id
    from invoices as i
    join invoice_changes as c on c.invoice_id = i.id
    join ledger_transactions as t on t.invoice_change_id = c.id
    union all
    select null, n.id, null, i.month, t.organization_id, t.currency, t.month, t.event, t.id
    from invoices as i
    join credit_notes as n on n.invoice_id = i.id
    join ledger_transactions as t on t.credit_note_id = n.id
    union all
    select null, null, g.id, month_of(g.granted_at), t.organization_id, t.currency, t.month, t.event, t.id
    from credit_grants as g
    join ledger_transactions as t on t.credit_grant_id = g.id
)

select
    s.invoice_change_id, s.credit_note_id, s.credit_grant_id, s.source_month, s.organization_id, s.currency, s.month,
    s.event, e.account, e.amount_cents
from sources as s
join ledger_entries as e
    on e.organization_id = s.organization_id and e.currency = s.currency and e.month = s.month and e.transaction_id = s.id;
comment on view ledger_posted is 'The entries that the ledger has, with the columns of ledger_rebuilt.';
comment on column ledger_posted.invoice_change_id is 'The source: a change of an invoice''s status.';
comment on column ledger_posted.credit_note_id is 'The source: a credit note.';
comment on column ledger_posted.credit_grant_id is 'The source: prepaid credit.';
comment on column ledger_posted.source_month is 'The billed month of the invoice, or the month that grants the credit.';
comment on column ledger_posted.organization_id is 'The payer.';
comment on column ledger_posted.currency is 'ISO 4217.';
comment on column ledger_posted.month is 'The accounting month.';
comment on column ledger_posted.event is 'A key of ledger.rules.events.EVENTS.';
comment on column ledger_posted.account is 'A key of ledger.rules.accounts.ACCOUNTS.';
comment on column ledger_posted.amount_cents is 'Debits are positive, credits negative, in the currency''s minor unit.';

-- Inserts the transactions and entries of these rows of ledger_rebuilt; returns the number of transactions.
create function post_to_ledger(rebuilt ledger_rebuilt[]) returns bigint language sql as $$
    with given as materialized (
        select r.*, coalesce(r.invoice_change_id::text, r.credit_note_id::text, r.credit_grant_id::text) as source
        from unnest(rebuilt) as r
    ),

    posted as (
        insert into ledger_transactions (
            organization_id, currency, month, event, invoice_change_id, credit_note_id, credit_grant_id
        )
        select distinct organization_id, currency, month, event, invoice_change_id, credit_note_id, credit_grant_id
        from given
        returning id, coalesce(invoice_change_id::text, credit_note_id::text, credit_grant_id::text) as source
    ),

    entered as (
        insert into ledger_entries (organization_id, currency, month, transaction_id, account, amount_cents)
        select g.organization_id, g.currency, g.month, p.id, g.account, g.amount_cents
        from given as g
        join posted as p using (source)
    )

    select count(*) from posted
$$;
comment on function post_to_ledger(ledger_rebuilt[]) is 'Posts these rows, which must be all entries of their sources.';

-- After follow_invoice_change, which writes the changes: triggers for each row fire before those for each statement.
create function post_invoice_changes() returns trigger language plpgsql as $$
declare
    changes bigint[];
begin
    if not exists (select from new_invoices where status <> 'open') then
        return null;
    end if;
    changes := array(
        select c.id
        from new_invoices as n
        join old_invoices as o on o.id = n.id and o.status <> n.status
        cross join lateral (
            select c.id from invoice_changes as c
            where c.invoice_id = n.id and c.to_status = n.status order by c.id desc limit 1
        ) as c
    );
    perform post_to_ledger(array(select r from ledger_rebuilt as r where r.invoice_change_id = any (changes)));
    return null;
end $$;
create trigger post_invoice_changes after update on invoices
referencing old table as old_invoices new table as new_invoices
for each statement execute function post_invoice_changes();

-- At commit, because the adjustments of a credit note are written after it.
create function post_credit_note() returns trigger language plpgsql as $$
begin
    perform post_to_ledger(array(select r from ledger_rebuilt as r where r.credit_note_id = new.id));
    return null;
end $$;
create constraint trigger post_credit_note after insert on credit_notes
deferrable initially deferred for each row execute function post_credit_note();

create function post_prepaid_credits() returns trigger language plpgsql as $$
declare
    prepaid constant uuid[] := array(select id from added where pays = 'gross');
begin
    if prepaid <> '{}' then
        perform post_to_ledger(array(select r from ledger_rebuilt as r where r.credit_grant_id = any (prepaid)));
    end if;
    return null;
end $$;
create trigger post_prepaid_credits after insert on credit_grants
referencing new table as added for each statement execute function post_prepaid_credits();

-- A month at a time, so that memory does not grow with the history.
create function post_missing_to_ledger() returns bigint language plpgsql as $$
declare
    billed date;
    posted bigint := 0;
begin
    for billed in
        select month from invoices where status <> 'open'
        union
        select month_of(granted_at) from credit_grants where pays = 'gross'
        order by 1
    loop
        posted := posted + post_to_ledger(array(
            select r from ledger_rebuilt as r
            where r.source_month = billed
                and not exists (select from ledger_transactions as t where t.invoice_change_id = r.invoice_change_id)
                and not exists (select from ledger_transactions as t where t.credit_note_id = r.credit_note_id)
                and not exists (select from ledger_transactions as t where t.credit_grant_id = r.credit_grant_id)
        ));
    end loop;
    return posted;
end $$;
comment on function post_missing_to_ledger() is
'Posts every event that is not posted; returns their number. For databases older than the ledger, and for repairs.';
select post_missing_to_ledger();

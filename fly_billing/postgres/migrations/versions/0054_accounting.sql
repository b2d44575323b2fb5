-- Revenue by the time in which it was supplied, and closed accounting months. docs/finance.md explains them.

create table accounting_periods (
    month date not null
    check (extract(day from month) = 1)
    constraint month_is_a_day check (month >= '1970-01-01' and month < '2200-01-01'),
    last_transaction_id bigint not null check (last_transaction_id >= 0),
    closed_at timestamptz not null
    constraint closed_at_is_a_time check (closed_at >= '1970-01-01Z' and closed_at < '2200-01-01Z'),
    closed_by text not null check (closed_by <> ''),
    primary key (month)
);
comment on table accounting_periods is
'One row per closed accounting month. Earlier months than the first one are closed with it. Rows are only added.';
comment on column accounting_periods.month is 'The closed month, its first day.';
comment on column accounting_periods.last_transaction_id is
'The last ledger transaction that was posted before it was closed. Later ones count in the first open month.';
comment on column accounting_periods.closed_at is 'When it was closed.';
comment on column accounting_periods.closed_by is 'Who closed it.';

create table revenue_deferrals (
    month date not null
    check (extract(day from month) = 1)
    constraint month_is_a_day check (month >= '1970-01-01' and month < '2200-01-01'),
    invoice_change_id bigint not null references invoice_changes,
    organization_id text not null references organizations,
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    amount_cents bigint not null
    check (amount_cents <> 0)
    constraint amount_cents_is_finite check (abs(amount_cents) < 1000000000000000),
    primary key (month, invoice_change_id)
);
create index on revenue_deferrals (invoice_change_id);
comment on table revenue_deferrals is
'Revenue that an invoice moves from the month that charges it to those that supply it. The rows of an invoice sum to zero.';
comment on column revenue_deferrals.month is 'The accounting month, its first day.';
comment on column revenue_deferrals.invoice_change_id is 'The change by which the invoice became final or void.';
comment on column revenue_deferrals.organization_id is 'The payer.';
comment on column revenue_deferrals.currency is 'ISO 4217.';
comment on column revenue_deferrals.amount_cents is
'Above zero: recognized as revenue in the month. Below zero: deferred. In the currency''s minor unit.';

-- Closed months never change -------------------------------------------------------------------------------------------

create function refuse_wrong_period() returns trigger language plpgsql as $$
declare
    last_closed constant date := (select max(month) from accounting_periods);
begin
    if new.month <> last_closed + interval '1 month' then
        raise exception 'the accounting month after % is %, not %', to_char(last_closed, 'YYYY-MM'),
            to_char(last_closed + interval '1 month', 'YYYY-MM'), to_char(new.month, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;
create trigger refuse_wrong_period before insert on accounting_periods
for each row execute function refuse_wrong_period();

create function refuse_closed_month() returns trigger language plpgsql as $$
begin
    if exists (select from accounting_periods where month >= new.month) then
        raise exception 'the accounting month % is closed', to_char(new.month, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;
create trigger refuse_closed_month before insert on revenue_deferrals
for each row execute function refuse_closed_month();

-- Closing a month waits for transactions that post, so that none of them gets a lower id than those that it counted. The
-- lock is taken before the first id, and shared: postings don't wait for each other.
create function wait_for_closing() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(hashtextextended('post to the ledger', 0));
    return null;
end $$;
create trigger wait_for_closing before insert on ledger_transactions
for each statement execute function wait_for_closing();

-- Once per statement: all rows of an invoice are inserted together.
create function refuse_unbalanced_deferrals() returns trigger language plpgsql as $$
declare
    wrong record;
begin
    select invoice_change_id, organization_id, sum(amount_cents) as total into wrong
    from added group by invoice_change_id, organization_id, currency having sum(amount_cents) <> 0 limit 1;
    if found then
        raise exception 'the deferrals of invoice change % of % sum to % instead of 0',
            wrong.invoice_change_id, wrong.organization_id, wrong.total
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;
create trigger refuse_unbalanced_deferrals after insert on revenue_deferrals
referencing new table as added for each statement execute function refuse_unbalanced_deferrals();

create trigger refuse_record_change before update or delete on accounting_periods
for each row execute function refuse_record_change();
create trigger refuse_record_change before update or delete on revenue_deferrals
for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on accounting_periods
for each statement execute function refuse_truncate();
create trigger refuse_truncate before truncate on revenue_deferrals
for each statement execute function refuse_truncate();
alter table accounting_periods enable always trigger refuse_wrong_period;
alter table accounting_periods enable always trigger refuse_record_change;
alter table accounting_periods enable always trigger refuse_truncate;
alter table ledger_transactions enable always trigger wait_for_closing;
alter table revenue_deferrals enable always trigger refuse_closed_month;
alter table revenue_deferrals enable always trigger refuse_unbalanced_deferrals;
alter table revenue_deferrals enable always trigger refuse_record_change;
alter table revenue_deferrals enable always trigger refuse_truncate;

-- The accounting month ---------------------------------------------------------------------------------------------------

create function accounting_month(month date, transaction_id bigint) returns date language sql stable as $$
    select greatest(
        accounting_month.month,
        (
            select cast(max(p.month) + interval '1 month' as date)
            from accounting_periods as p
            where p.last_transaction_id < accounting_month.transaction_id
        )
    )
$$;
comment on function accounting_month(date, bigint) is
'The month in which a ledger transaction counts: its own, or the first open one if that was closed before it was posted.';

create view finance_journal as
select
    accounting_month(e.month, e.transaction_id) as month, e.organization_id, e.currency, t.event, e.account, e.amount_cents
from ledger_entries as e
join ledger_transactions as t
    on t.organization_id = e.organization_id and t.currency = e.currency and t.month = e.month and t.id = e.transaction_id
union all
select
    d.month, d.organization_id, d.currency,
    case when d.amount_cents > 0 then 'revenue_recognized' else 'revenue_deferred' end,
    entry.account, entry.sign * d.amount_cents
from revenue_deferrals as d
cross join (values ('deferred_revenue', 1), ('revenue', -1)) as entry (account, sign);
comment on view finance_journal is
'One row per entry of the journal: the ledger, with revenue in the months that supply it. The entries sum to zero.';
comment on column finance_journal.month is 'The accounting month, its first day. Rows of a closed month never change.';
comment on column finance_journal.organization_id is 'The payer.';
comment on column finance_journal.currency is 'ISO 4217.';
comment on column finance_journal.event is 'The cause: an event of docs/ledger.md, revenue_deferred or revenue_recognized.';
comment on column finance_journal.account is 'An account of docs/ledger.md.';
comment on column finance_journal.amount_cents is 'Debits are positive, credits negative, in the currency''s minor unit.';

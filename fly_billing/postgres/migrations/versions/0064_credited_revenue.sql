-- A credit note at Stripe takes revenue back from the service periods of its invoice, so that nothing of a service that is
-- paid back stays deferred. docs/finance.md explains it.

alter table stripe_money
add column credited_lines jsonb,
add constraint only_a_credit_note_has_lines check (credited_lines is null or kind = 'credit_note');
comment on column stripe_money.credited_lines is
'The lines of the invoice that a credit note names: first_day and end_day (half-open) of what each supplied, and its cents before tax. Null: none.';

alter table revenue_deferrals
drop constraint revenue_deferrals_pkey,
add column id bigint generated always as identity primary key,
add column stripe_money_id bigint references stripe_money (id),
alter column invoice_change_id drop not null,
add constraint one_source check (num_nonnulls(invoice_change_id, stripe_money_id) = 1);
drop index revenue_deferrals_invoice_change_id_idx;
create unique index changes_are_deferred_once on revenue_deferrals (invoice_change_id, month)
where invoice_change_id is not null;
create unique index credit_notes_are_deferred_once on revenue_deferrals (stripe_money_id, month)
where stripe_money_id is not null;
comment on table revenue_deferrals is
'Revenue that an invoice moves from the month that charges it to those that supply it, and that a credit note takes back. The rows of a source sum to zero.';
comment on column revenue_deferrals.id is 'Grows with each row.';
comment on column revenue_deferrals.invoice_change_id is
'The source: the change by which the invoice became final or void. Null: a credit note.';
comment on column revenue_deferrals.stripe_money_id is 'The source: the state of a credit note at Stripe. Null: an invoice.';
comment on column revenue_deferrals.amount_cents is
'Above zero: recognized as revenue in the month. Below zero: deferred. In the currency''s minor unit.';

-- Once per statement: all rows of a source are inserted together.
create or replace function refuse_unbalanced_deferrals() returns trigger language plpgsql as $$
declare
    wrong record;
begin
    select
        coalesce('invoice change ' || invoice_change_id, 'credit note state ' || stripe_money_id) as source,
        organization_id, sum(amount_cents) as total
    into wrong
    from added group by invoice_change_id, stripe_money_id, organization_id, currency
    having sum(amount_cents) <> 0 limit 1;
    if found then
        raise exception 'the deferrals of % of % sum to % instead of 0',
            wrong.source, wrong.organization_id, wrong.total
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create or replace view finance_journal as
select
    accounting_month(e.month, e.transaction_id) as month, e.organization_id, e.currency, t.event, e.account, e.amount_cents
from ledger_entries as e
join ledger_transactions as t
    on t.organization_id = e.organization_id and t.currency = e.currency and t.month = e.month and t.id = e.transaction_id
union all
-- A credit note reverses what its invoice deferred and recognizes: the same events, with the opposite sign.
select
    d.month, d.organization_id, d.currency,
    case when (d.amount_cents > 0) = (d.stripe_money_id is null) then 'revenue_recognized' else 'revenue_deferred' end,
    entry.account, entry.sign * d.amount_cents
from revenue_deferrals as d
cross join (values ('deferred_revenue', 1), ('revenue', -1)) as entry (account, sign);

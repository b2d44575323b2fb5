-- name: ledger_differences
-- One row per event and account of the month's sources whose entries in the ledger differ from the ones rebuilt from its
-- source; and, without an event, one per organization and currency whose entries do not sum to zero. posted: null if
-- nothing is posted; should_be: null if nothing should be; entries: how many are posted.
with posted as (
    select
        ledger_source(
            invoice_change_id, credit_note_id, credit_grant_id, stripe_money_id, credit_expiry_id, stripe_amounts_id
        ) as source,
        organization_id, currency, month, event, account, sum(amount_cents) as amount_cents, count(*) as entries
    from ledger_posted
    where source_month = :month
    group by source, organization_id, currency, month, event, account
),

rebuilt as (
    select
        ledger_source(
            invoice_change_id, credit_note_id, credit_grant_id, stripe_money_id, credit_expiry_id, stripe_amounts_id
        ) as source,
        organization_id, currency, month, event, account, amount_cents
    from ledger_rebuilt
    where source_month = :month
),

compared as (
    select
        coalesce(p.organization_id, r.organization_id) as organization_id, coalesce(p.currency, r.currency) as currency,
        coalesce(p.event, r.event) as event, coalesce(p.account, r.account) as account, p.amount_cents as posted,
        r.amount_cents as should_be, coalesce(p.entries, 0) as entries
    from posted as p
    full join rebuilt as r
        on r.source = p.source and r.organization_id = p.organization_id and r.currency = p.currency
            and r.month = p.month and r.event = p.event and r.account = p.account
    where p.amount_cents is distinct from r.amount_cents
)

select
    organization_id, currency, event, account, cast(posted as bigint) as posted, should_be,
    cast(entries as integer) as entries
from compared
union all
select organization_id, currency, null, null, cast(sum(amount_cents) as bigint), 0, cast(sum(entries) as integer)
from posted
group by organization_id, currency
having sum(amount_cents) <> 0
order by organization_id, currency, event nulls last, account;

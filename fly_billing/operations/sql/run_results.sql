-- name: bill_results
-- One row per outcome and currency of a month's invoices after a run that began at :since, with items and total.
-- Leaves out void and imported invoices.
select
    o.outcome, i.currency, count(*) as invoices,
    cast(coalesce(sum(t.items), 0) as bigint) as items, cast(sum(i.total_cents) as bigint) as total_cents
from invoices as i
left join invoice_confirmations as c
    on c.month = i.month and not exists (
        select from billing_failures as f where f.organization_id = i.organization_id and f.month = i.month
    )
cross join lateral (
    select case
        when i.finalized_at >= :since then 'finalized'
        when i.status <> 'open' then 'already_final'
        when i.computed_at >= :since or c.confirmed_at >= :since then 'upcoming'
        else 'not_updated'
    end as outcome
) as o
left join lateral (select count(*) as items from invoice_items where invoice_id = i.id) as t on true
where i.month = :month and i.status <> 'void' and i.origin = 'billed'
group by o.outcome, i.currency
order by o.outcome, i.currency;

-- name: not_billed
-- One row per organization that the last run of the month could not bill, and why.
select organization_id, code, operator_text as message from billing_failures where month = :month
order by organization_id;

-- name: count_held_corrections
-- One row: the number of corrections of the month's final invoices that wait for approval.
select count(*) from held_corrections where month = :month;

-- name: booked_corrections
-- One row per correction of the month's final invoices that was booked at :since or later, with its exact amount.
select organization_id, description, amount, currency from adjustments
where month = :month and made_at >= :since
order by organization_id, description, id;

-- name: sync_results
-- One row per outcome and currency of a month's final invoices after a sync that began at :since, with items and total.
-- Leaves out void and imported invoices, which are never sent.
select
    o.outcome, i.currency, count(*) as invoices,
    cast(coalesce(sum(t.items), 0) as bigint) as items, cast(sum(i.total_cents) as bigint) as total_cents
from invoices as i
left join stripe_invoices as s on s.invoice_id = i.id
cross join lateral (
    select case
        when s.state = 'finalized' and s.finalized_at >= :since then 'sent'
        when s.state = 'finalized' then 'already_there'
        when s.state = 'skipped_zero' then 'nothing_to_pay'
        when s.failure_code is not null then 'failed'
        else 'waiting'
    end as outcome
) as o
left join lateral (select count(*) as items from invoice_items where invoice_id = i.id) as t on true
where i.month = :month and i.status not in ('open', 'void') and i.origin = 'billed'
group by o.outcome, i.currency
order by o.outcome, i.currency;

-- name: days_landed_since
-- One row per day of :days that landed at :since or later.
select landing_day from landing_days where landing_day = any(:days) and landed_at >= :since order by landing_day;

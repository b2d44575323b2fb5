-- name: credits_of_statement
-- One row per credit of the organization that is not used up and has not expired, in the order in which credits are
-- drawn (those that pay after tax are last). `left_over` is the ledger's balance minus the draws of open invoices,
-- which are not in the ledger yet.
with balances as (
    select
        g.*,
        (select sum(e.amount) from credit_entries as e where e.grant_id = g.id)
        + coalesce((
            select sum(t.amount)
            from invoice_items as t
            join invoices as i on i.id = t.invoice_id
            where t.credit_grant_id = g.id and i.status = 'open'
        ), 0) as left_over
    from credit_grants as g
    where g.organization_id = :organization_id and (g.expires_at is null or g.expires_at > :now)
)

select description, currency, amount, left_over, expires_at, pays
from balances
where left_over > 0
order by pays = 'gross', priority, expires_at nulls last, granted_at, id;

-- name: daily_usage_of_statement
-- One row per item and UTC day (1 is the month's first) with usage that the item billed. `day` is null for rollups from
-- before days were recorded.
select billed.item_id, daily.day, sum(coalesce(daily.quantity, r.quantity)) as quantity
from invoice_item_rollups as billed
join usage_rollups as r on r.id = billed.rollup_id
left join lateral unnest(r.daily) with ordinality as daily (quantity, day) on true
where billed.item_id = any (:items)
group by billed.item_id, daily.day
having sum(coalesce(daily.quantity, r.quantity)) <> 0
order by billed.item_id, daily.day;

-- name: items_of_statement
-- One row per item of these invoices, in order: all items of the organization's own invoices, and only its own items on
-- the payer's invoices.
select
    t.id, t.invoice_id, t.kind, t.organization_id, t.product, t.description, t.quantity, t.unit, t.amount,
    t.amount_cents, t.period_start, t.period_end, t.interval_start, t.interval_end, t.detail, t.one_off_item_id,
    one_off_items.occurred_at,
    case
        when t.kind = 'one_off' and t.period_start is null
            then array(select g.id from credit_grants as g where g.organization_id = t.organization_id)
    end as credit_ids
from invoice_items as t
join invoices as i on i.id = t.invoice_id
left join one_off_items on one_off_items.id = t.one_off_item_id
where t.invoice_id = any (:ids) and :organization_id in (i.organization_id, t.organization_id)
order by t.invoice_id, t.position;

-- name: taxes_of_statement
-- One row per tax rate on each of these invoices, but only on the organization's own.
select
    t.invoice_id, t.name, t.percent, t.is_inclusive, t.taxable_cents, t.tax_cents, t.category, t.legal_text
from invoice_taxes as t
join invoices as i on i.id = t.invoice_id
where t.invoice_id = any (:ids) and i.organization_id = :organization_id
order by t.invoice_id, t.name, t.percent desc;

-- name: usage_complete_until
-- One row: the last day of [:first, :last] such that it and all days before it landed after they ended and are in this
-- version of the usage table. The day before :first if there is none.
select coalesce(min(cast(day as date)), cast(:last as date) + 1) - 1 as until
from generate_series(cast(:first as timestamp), cast(:last as timestamp), interval '1 day') as days (day)
where not exists (
    select from landing_days
    where landing_days.landing_day = cast(day as date)
        and landing_days.landed_at >= (day + interval '1 day') at time zone 'UTC'
        and landing_days.lake_version <= :lake_version
);

-- name: usage_of_statement
-- One row per item, app and region of the usage that these items billed. Null if the meter has no such dimension.
select
    billed.item_id, r.dimensions ->> 'app' as app, r.dimensions ->> 'region' as region, sum(r.quantity) as quantity
from invoice_item_rollups as billed
join usage_rollups as r on r.id = billed.rollup_id
where billed.item_id = any (:items)
group by billed.item_id, app, region
order by billed.item_id, app, region;

-- name: usage_sources
-- One row per usage file that landed in [:first, :last], with the number of days and the last one. Paths that differ
-- only in numbers are one file.
select regexp_replace(path, '[0-9]+', '#', 'g') as name, count(distinct landing_day) as days, max(landing_day) as until
from usage_files
where landing_day between :first and :last
group by name
order by name;

-- name: ledger_of_statement
-- One row per currency of the organization: the amounts that it owes by the ledger, paid, got back and disputes.
-- is_charged: someone charged its balance at Stripe, so a balance below zero need not be an amount too small to charge.
-- lost_cents: the balance that Stripe deleted with the customer.
select
    e.currency,
    cast(coalesce(sum(e.amount_cents) filter (where e.account in ('receivable', 'stripe_balance')), 0) as bigint)
        as owed_cents,
    cast(coalesce(sum(e.amount_cents) filter (where e.account = 'disputed'), 0) as bigint) as disputed_cents,
    cast(coalesce(-sum(e.amount_cents) filter (where e.account = 'cash' and t.event in (
        'payment_refunded', 'refund_failed', 'stripe_credit_note_issued', 'stripe_credit_note_voided'
    )), 0) as bigint) as refunded_cents,
    cast(coalesce(sum(e.amount_cents) filter (where e.account = 'cash' and t.event in (
        'invoice_paid', 'invoice_part_paid', 'written_off_invoice_paid', 'written_off_invoice_part_paid',
        'stripe_overpayment'
    )), 0) as bigint) as paid_cents,
    coalesce(bool_or(t.event = 'stripe_credit_taken'), false) as is_charged,
    coalesce(
        (
            select l.cents from lost_balances as l
            where l.organization_id = :organization_id and l.currency = e.currency
        ), 0
    ) as lost_cents
from ledger_entries as e
join ledger_transactions as t
    on t.organization_id = e.organization_id and t.currency = e.currency and t.month = e.month
        and t.id = e.transaction_id
where e.organization_id = :organization_id
group by e.currency
order by e.currency;

-- name: stripe_of_organization_read_at
-- One row, or none if events at Stripe are not polled or the organization is no customer there: until when they were read.
select p.until
from stripe_events_polled as p
join organizations as o on o.id = :organization_id and o.stripe_customer_id is not null;

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

-- name: completeness_of_statement
-- One row per usage file that landed from the invoice's month until its usage was rolled up, with the number of days
-- and the last one. Paths that differ only in numbers are one file. A row of nulls if there is none, or if there are
-- more than :most files and days: their names are then ids, not sources. No row if the invoice billed no usage.
-- `complete_until` is the last day such that it and all days of the month before it landed after they ended and are in
-- the version of the usage table that was billed: the day before the month if there is none. `looked_at` is when the
-- folder of the day after it was last as it was billed; null if that day did not land. :as_of is when the invoice was
-- calculated. Up to :few paths are read at once.
with recursive billed as (
    select
        i.month as first, s.lake_version,
        cast(least(s.rolled_up_at, cast(:as_of as timestamptz)) at time zone 'UTC' as date) as last
    from invoices as i
    join usage_as_of as s on s.snapshot_id = i.usage_snapshot_id
    where i.id = cast(:invoice_id as uuid) and s.lake_version is not null
),

-- All paths, if they are so few that reading them is cheapest; one more, if they are not.
paths as materialized (
    select u.landing_day, u.path
    from usage_files as u
    where u.landing_day >= (select first from billed) and u.landing_day <= (select last from billed)
    order by u.landing_day
    limit :few + 1
),

amount as (select count(*) <= :few as is_few from paths),

-- Of many paths, each step finds the next day and file in the index, whatever the number of paths between.
landed as (
    (
        select 1 as number, u.landing_day, regexp_replace(u.path, '[0-9]+', '#', 'g') as name
        from usage_files as u
        where u.landing_day >= (select first from billed) and u.landing_day <= (select last from billed)
            and not (select is_few from amount)
        order by u.landing_day, regexp_replace(u.path, '[0-9]+', '#', 'g')
        limit 1
    )
    union all
    select landed.number + 1 as number, following.landing_day, following.name
    from landed
    cross join lateral (
        select u.landing_day, regexp_replace(u.path, '[0-9]+', '#', 'g') as name
        from usage_files as u
        where (u.landing_day, regexp_replace(u.path, '[0-9]+', '#', 'g')) > (landed.landing_day, landed.name)
            and u.landing_day <= (select last from billed)
        order by u.landing_day, regexp_replace(u.path, '[0-9]+', '#', 'g')
        limit 1
    ) as following
    where landed.number <= :most
),

days_of_files as (
    select distinct landing_day, regexp_replace(path, '[0-9]+', '#', 'g') as name
    from paths
    where (select is_few from amount)
    union all
    select landing_day, name from landed
),

found as (select count(*) as number from days_of_files),

sources as (
    select name, count(*) as days, max(landing_day) as until
    from days_of_files
    where (select number from found) <= :most
    group by name
),

-- The days that landed after they ended, numbered from 1.
whole_days as (
    select
        billed.first, landing_days.landing_day,
        cast(row_number() over (order by landing_days.landing_day) as int) as number
    from billed
    join landing_days on landing_days.landing_day between billed.first and billed.last
    where landing_days.landed_at >= cast(landing_days.landing_day + 1 as timestamp) at time zone 'UTC'
        and landing_days.lake_version <= billed.lake_version
),

-- The last of them before the first gap. Materialized, because it would be calculated again for every source.
complete as materialized (
    select coalesce(max(whole_days.landing_day), billed.first - 1) as until
    from billed
    left join whole_days on whole_days.landing_day = whole_days.first + whole_days.number - 1
    group by billed.first
)

select
    complete.until as complete_until, sources.name, sources.days, sources.until,
    (
        select landing_days.landed_at
        from landing_days
        where landing_days.landing_day = complete.until + 1 and landing_days.lake_version <= billed.lake_version
    ) as looked_at
from billed
cross join complete
left join sources on true
order by sources.name;

-- name: current_customer_of_statement
-- One row, none without billing details: the customer on the organization's open invoices.
select
    coalesce(b.legal_name, o.name) as name, b.legal_name, b.email, b.line1, b.line2, b.postal_code,
    b.city, b.state, b.country, b.tax_ids, b.collection, b.purchase_order, b.memo, b.footer
from billing_details as b
join organizations as o on o.id = b.organization_id
where b.organization_id = :organization_id;

-- name: month_of_invoice
-- One row, none if there is no such invoice.
select month from invoices where id = cast(:invoice_id as uuid);

-- name: items_of_statement
-- One row per item of this invoice, in order: all items of the organization's own invoice, and only its own items on
-- the payer's invoice.
select
    t.id, t.kind, t.organization_id, t.product, t.description, t.quantity, t.unit, t.amount,
    t.amount_cents, t.period_start, t.period_end, t.interval_start, t.interval_end, t.detail, t.one_off_item_id,
    one_off_items.occurred_at,
    case
        when t.kind = 'one_off' and t.period_start is null
            then array(select g.id from credit_grants as g where g.organization_id = t.organization_id)
    end as credit_ids
from invoice_items as t
join invoices as i on i.id = t.invoice_id
left join one_off_items on one_off_items.id = t.one_off_item_id
where t.invoice_id = :invoice_id and :organization_id in (i.organization_id, t.organization_id)
order by t.position;

-- name: items_until_day_of_statement
-- One row per item of this invoice but those of the whole invoice, as `items_of_statement` of the organization, with its
-- usage in all and on the first :day days of the month.
select
    t.product, t.kind, t.detail, t.amount, coalesce(o.occurred_at, t.period_start) as begins_at,
    coalesce(billed.used, 0) as used, coalesce(billed.used_until, 0) as used_until,
    coalesce(billed.has_unknown_days, false) as has_unknown_days
from invoice_items as t
join invoices as i on i.id = t.invoice_id
left join one_off_items as o on o.id = t.one_off_item_id
left join lateral (
    select
        sum((select sum(quantity) from unnest(r.daily) as days (quantity))) as used,
        sum((select sum(quantity) from unnest(r.daily[1:cast(:day as integer)]) as days (quantity))) as used_until,
        bool_or(r.daily is null and r.quantity <> 0) as has_unknown_days
    from invoice_item_rollups as billing
    join usage_rollups as r on r.id = billing.rollup_id
    where billing.item_id = t.id
) as billed on true
where t.invoice_id = :invoice_id and :organization_id in (i.organization_id, t.organization_id)
    and t.kind <> all (:whole_invoice_kinds)
order by t.position;

-- name: products_of_statement
-- One row per product of this invoice, in its order, and apart from it what applies to the whole invoice; as
-- `items_of_statement` of the organization. `amount_cents` is null if that of an item is missing.
select
    t.product as label,
    case when bool_and(t.amount_cents is not null) then cast(sum(t.amount_cents) as bigint) end as amount_cents,
    t.kind = any (:whole_invoice_kinds) as is_of_the_whole_invoice
from invoice_items as t
join invoices as i on i.id = t.invoice_id
where t.invoice_id = :invoice_id and :organization_id in (i.organization_id, t.organization_id)
group by label, is_of_the_whole_invoice
order by min(t.position);

-- name: taxes_of_statement
-- One row per tax rate on this invoice, none if it is not the organization's own.
select
    t.name, t.percent, t.is_inclusive, t.taxable_cents, t.tax_cents, t.category, t.legal_text
from invoice_taxes as t
join invoices as i on i.id = t.invoice_id
where t.invoice_id = :invoice_id and i.organization_id = :organization_id
order by t.name, t.percent desc;

-- name: usage_of_statement
-- One row per usage rollup that the organization's items on this invoice billed, with its quantity by UTC day of the
-- month, null if it is from before days were recorded; rollups of an item, app and region follow each other. App and
-- region are null if the meter has no such dimension. The reader adds the rollups up: by day and in SQL, that took a
-- sixth of all of a statement's time in Postgres.
select
    billed.item_id, r.dimensions ->> 'app' as app, r.dimensions ->> 'region' as region, r.quantity, r.daily
from invoice_items as t
join invoices as i on i.id = t.invoice_id
join invoice_item_rollups as billed on billed.item_id = t.id
join usage_rollups as r on r.id = billed.rollup_id
where t.invoice_id = :invoice_id and :organization_id in (i.organization_id, t.organization_id)
order by billed.item_id, app, region;

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

-- name: organization_of_statement
-- One row, none if there is no such organization. `stripe_read_at` is until when events at Stripe were read; null if
-- they are not polled or the organization is not a customer there. `billed_in` is the currency of the invoice of the
-- month of :now; `idle_cap_cents` and `idle_cap_currency` are those of a cap in another one.
select
    o.name, p.until as stripe_read_at, billed.currency as billed_in, cap.amount_cents as idle_cap_cents,
    cap.currency as idle_cap_currency
from organizations as o
left join stripe_events_polled as p on o.stripe_customer_id is not null
cross join lateral (
    select billed_currency(o.id, cast(cast(:now as timestamptz) at time zone 'UTC' as date)) as currency
) as billed
left join spend_thresholds as cap
    on cap.organization_id = o.id and cap.kind = 'cap' and cap.removed_at is null and cap.currency <> billed.currency
where o.id = :organization_id;

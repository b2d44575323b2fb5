-- One row per item of the month's final invoices, ordered by payer, invoice number and position, with its period and
-- the dimensions that have the same value in all of its usage. `unreadable_rollup` is a usage rollup of the item that
-- has no time, or whose dimensions are not a JSON object. Open and void invoices are not included.
with exported as (
    select i.id, i.organization_id, i.number, i.month, i.currency, i.total_cents, o.name as organization_name
    from invoices as i
    join organizations as o on o.id = i.organization_id
    where i.month = :month and i.status not in ('open', 'void')
),

used as (
    select
        l.item_id, min(r.segment_start) as period_start, max(r.segment_end) as period_end,
        min(cast(r.id as text)) filter (
            where r.segment_start is null or r.segment_end is null
                or jsonb_typeof(r.dimensions) is distinct from 'object'
        ) as unreadable_rollup
    from exported
    join invoice_item_rollups as l on l.invoice_id = exported.id
    join usage_rollups as r on r.id = l.rollup_id
    group by l.item_id
),

dimensions as (
    select l.item_id, d.key as name, min(d.value) as value
    from exported
    join invoice_item_rollups as l on l.invoice_id = exported.id
    join usage_rollups as r on r.id = l.rollup_id
    cross join jsonb_each_text(case jsonb_typeof(r.dimensions) when 'object' then r.dimensions else '{}' end) as d
    group by l.item_id, d.key
    having min(d.value) = max(d.value) and min(d.value) <> ''
),

shared as (
    select item_id, jsonb_object_agg(name, value) as dimensions from dimensions group by item_id
)

select
    e.id as invoice_id, e.organization_id as payer_id, e.organization_name as payer_name, e.number, e.currency,
    e.total_cents,
    t.id, t.kind, t.organization_id, o.name as organization_name, t.product, t.description, t.quantity, t.unit,
    t.amount,
    t.amount_cents, t.price_key, meters.name as meter_name, coalesce(p.match, '{}') || coalesce(n.match, '{}') as match,
    coalesce(shared.dimensions, '{}') as dimensions, t.detail,
    -- A reservation is written with its credits, under one description, the first one granted when it is bought.
    one_offs.id is not null and one_offs.amount > 0 and exists (
        select from credit_grants as g
        where g.organization_id = one_offs.organization_id and g.description = one_offs.description
            and g.currency = one_offs.currency and g.granted_at = one_offs.occurred_at and g.expires_at is not null
    ) as is_prepaid,
    coalesce(
        case when t.kind <> 'one_off' or not isfinite(t.period_start) then t.period_start end,
        used.period_start, date_trunc('day', one_offs.occurred_at, 'UTC'),
        cast(a.month as timestamp) at time zone 'UTC', :month_start
    ) as period_start,
    coalesce(
        case when t.kind <> 'one_off' or not isfinite(t.period_end) then t.period_end end,
        used.period_end, date_trunc('day', one_offs.occurred_at, 'UTC') + interval '1 day',
        (a.month + interval '1 month') at time zone 'UTC', :month_end
    ) as period_end,
    used.unreadable_rollup
from exported as e
join invoice_items as t on t.invoice_id = e.id
join organizations as o on o.id = t.organization_id
left join prices as p on p.id = t.price_id
left join negotiated_prices as n on n.id = t.negotiated_price_id
left join meters on meters.key = t.meter
left join one_off_items as one_offs on one_offs.id = t.one_off_item_id
left join adjustments as a on a.id = t.adjustment_id
left join used on used.item_id = t.id
left join shared on shared.item_id = t.id
order by e.organization_id, e.number, t.position

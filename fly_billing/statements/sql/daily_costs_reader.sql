-- name: usage_by_day_and_label
-- One row per item and place of the usage that these items billed, with its quantities by day of the month (1 is the
-- first; null for rollups from before days were recorded). `place` is the position of the value of :dimension in
-- :labels, 0 for usage without a value (all, if :dimension is null), -1 for other values. Days without usage are left out.
with by_day as (
    select
        billed.item_id,
        case
            when r.dimensions ->> cast(:dimension as text) is null then 0
            else coalesce(array_position(cast(:labels as text []), r.dimensions ->> cast(:dimension as text)), -1)
        end as place,
        daily.day,
        sum(coalesce(daily.quantity, r.quantity)) as quantity
    from invoice_item_rollups as billed
    join usage_rollups as r on r.id = billed.rollup_id
    left join lateral unnest(r.daily) with ordinality as daily (quantity, day) on true
    where billed.item_id = any(:items)
    group by billed.item_id, place, daily.day
)

select
    cast(item_id as text) as item_id, place, array_agg(day order by day) as days,
    array_agg(quantity order by day) as quantities
from by_day
where quantity <> 0
group by item_id, place
order by item_id, place;

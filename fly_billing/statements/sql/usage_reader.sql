-- name: daily_usage_of_items
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

-- name: usage_of_items
-- One row per item, app and region of the usage that these items billed. Null if the meter has no such dimension.
select
    billed.item_id, r.dimensions ->> 'app' as app, r.dimensions ->> 'region' as region, sum(r.quantity) as quantity
from invoice_item_rollups as billed
join usage_rollups as r on r.id = billed.rollup_id
where billed.item_id = any (:items)
group by billed.item_id, app, region
order by billed.item_id, app, region;

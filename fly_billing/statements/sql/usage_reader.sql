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
-- One row per item, app and region with usage that these items billed, the largest first; null if the meter has no such
-- dimension. After the first :most of an item, one row has the sum and the number of all others (`others`, else 0).
with places as (
    select
        billed.item_id, r.dimensions ->> 'app' as app, r.dimensions ->> 'region' as region, sum(r.quantity) as quantity,
        row_number() over (
            partition by billed.item_id
            order by sum(r.quantity) desc, r.dimensions ->> 'app', r.dimensions ->> 'region'
        ) as place
    from invoice_item_rollups as billed
    join usage_rollups as r on r.id = billed.rollup_id
    where billed.item_id = any (:items)
    group by billed.item_id, r.dimensions ->> 'app', r.dimensions ->> 'region'
)

select item_id, app, region, quantity, 0 as others
from places
where place <= :most
union all
select item_id, null as app, null as region, sum(quantity) as quantity, count(*) as others
from places
where place > :most
group by item_id
order by item_id, others, quantity desc, app, region;

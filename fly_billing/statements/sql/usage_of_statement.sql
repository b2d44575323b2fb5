-- One row per item, app and region of the usage that these items billed; null where a meter has no such dimension.
select
    billed.item_id, r.dimensions ->> 'app' as app, r.dimensions ->> 'region' as region, sum(r.quantity) as quantity
from invoice_item_rollups as billed
join usage_rollups as r on r.id = billed.rollup_id
where billed.item_id = any (:items)
group by billed.item_id, app, region
order by billed.item_id, app, region

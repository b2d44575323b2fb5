-- One row per item and UTC day (1: the month's first) on which the usage that it billed grew or shrank. `day` is null
-- for what was rolled up before days were kept.
select billed.item_id, daily.day, sum(coalesce(daily.quantity, r.quantity)) as quantity
from invoice_item_rollups as billed
join usage_rollups as r on r.id = billed.rollup_id
left join lateral unnest(r.daily) with ordinality as daily (quantity, day) on true
where billed.item_id = any (:items)
group by billed.item_id, daily.day
having sum(coalesce(daily.quantity, r.quantity)) <> 0
order by billed.item_id, daily.day

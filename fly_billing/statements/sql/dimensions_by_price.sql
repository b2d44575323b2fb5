-- One row per price and set of dimensions that it priced, on the item's invoice, of its organization and meter.
select distinct t.price_key, r.dimensions
from invoice_items as own
join invoice_items as t
    on t.invoice_id = own.invoice_id and t.organization_id = own.organization_id and t.meter = own.meter
join invoice_item_rollups as l on l.item_id = t.id
join usage_rollups as r on r.id = l.rollup_id
where own.id = :item_id

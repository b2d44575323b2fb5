-- One row if the item bills an adjustment: its causes, and its record of what was billed and what is owed.
select a.causes, a.detail
from invoice_items as t
join adjustments as a on a.id = t.adjustment_id
where t.id = :item_id

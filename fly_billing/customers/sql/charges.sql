-- name: add_charge
-- No rows.
insert into one_off_items (
    id, organization_id, description, amount, currency, occurred_at, quantity, unit, unit_amount, product,
    period_start, period_end
)
values (
    :id, :organization_id, :description, :amount, :currency, :occurred_at, :quantity, :unit, :unit_amount, :product,
    :period_start, :period_end
);

-- name: billed_one_off_items
-- One row per one-off item of :ids that is on a final invoice.
select distinct t.one_off_item_id as id
from invoice_items as t
join invoices as i on i.id = t.invoice_id and i.status <> 'open'
where t.one_off_item_id = any (cast(:ids as uuid[])) and not t.is_void;

-- name: change_one_off_item
-- No rows.
update one_off_items
set
    amount = :amount, currency = :currency, quantity = :quantity, unit = :unit, unit_amount = :unit_amount,
    product = :product, period_start = :period_start, period_end = :period_end
where id = :id;

-- name: last_final_month_of
-- One row: the last month with a final invoice of this organization or its payer; null: there is none.
select last_final_month(:id);

-- name: one_off_items_of
-- One row per one-off item of these organizations.
select
    id, organization_id, description, amount, currency, occurred_at, quantity, unit, unit_amount, product,
    period_start, period_end
from one_off_items
where organization_id = any (:keys);

-- name: withdraw_charge
-- No rows. The database refuses it if an invoice has the item.
delete from one_off_items where id = :id;

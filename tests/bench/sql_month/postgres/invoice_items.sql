insert into sql_month.invoice_items (
    invoice_id, kind, product, description, quantity, unit, amount, price_id, price_key, meter, subscription_id,
    one_off_item_id, discount_id, commitment_id
)
select
    i.id, l.kind, l.product, l.description, l.quantity, l.unit, l.amount, l.price_id, l.price_key, l.meter,
    l.subscription_id, l.one_off_item_id, l.discount_id, l.commitment_id
from lines as l
join sql_month.invoices as i on i.organization_id = l.organization_id and i.month = :month

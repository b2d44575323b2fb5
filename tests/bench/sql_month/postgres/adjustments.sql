-- What the month's invoices would charge now, less what they charged.
insert into sql_month.adjustments (invoice_id, product, description, amount)
with billed as (
    select
        i.organization_id, t.kind, t.product, t.description, t.amount, t.price_id, t.subscription_id, t.one_off_item_id,
        t.discount_id, t.commitment_id
    from sql_month.invoice_items as t
    join sql_month.invoices as i on i.id = t.invoice_id
    where i.month = :month
    union all
    select
        organization_id, kind, product, description, -amount, price_id, subscription_id, one_off_item_id, discount_id,
        commitment_id
    from lines
)

select i.id, b.product, b.description, -sum(b.amount)
from billed as b
join sql_month.invoices as i on i.organization_id = b.organization_id and i.month = :month
group by
    i.id, b.kind, b.product, b.description, b.price_id, b.subscription_id, b.one_off_item_id, b.discount_id,
    b.commitment_id
having sum(b.amount) <> 0

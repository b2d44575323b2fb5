-- Usage that is not billed exactly once: the quantities of the rollups and of the items differ.
with used as (
    select organization_id, meter, sum(quantity) as quantity
    from sql_month.usage_rollups
    where month = :month
    group by organization_id, meter
),

billed as (
    select i.organization_id, t.meter, sum(t.quantity) as quantity
    from sql_month.invoice_items as t
    join sql_month.invoices as i on i.id = t.invoice_id
    where i.month = :month and t.kind = 'usage'
    group by i.organization_id, t.meter
)

select
    coalesce(used.organization_id, billed.organization_id) as organization_id, used.quantity,
    billed.quantity as billed
from used
full join billed on billed.organization_id = used.organization_id and billed.meter = used.meter
where used.quantity is distinct from billed.quantity

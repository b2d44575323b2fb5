-- One row per credit and adjustment of this final invoice that the credit paid, on other final invoices; and (is_returned)
-- one per credit and thing of which corrections of the invoice gave it back. `is_credit`: the key is a credit's own.
select
    c.credit_grant_id as grant_id, a.item_key as key, a.credit_grant_id is not null as is_credit, false as is_returned,
    sum(part.amount) as amount
from adjustments as a
join invoice_items as t on t.adjustment_id = a.id and not t.is_void
join invoices as i on i.id = t.invoice_id and i.status not in ('open', 'void')
join invoice_items as c on c.invoice_id = i.id and c.kind = 'credit'
cross join lateral jsonb_to_recordset(
    (c.detail -> 'applied_to') || coalesce(c.detail -> 'taxes_of', '[]')
) as part (item uuid, amount numeric)
where a.invoice_id = :invoice_id and part.item = t.id
group by 1, 2, 3
union all
select credit_grant_id, item_key, true, true, sum(amount)
from adjustments
where invoice_id = :invoice_id and credit_grant_id is not null
group by 1, 2
order by grant_id, key, is_returned

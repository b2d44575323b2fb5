-- One row per subscription, interval and credit: what the credit paid, on other invoices, of the fees that they charged for
-- it, less what it got back of them; in the order in which credits are drawn. The same invoices and intervals count as in
-- `fees_charged`. The `amount` is above zero, and has the taxes on the fee in it where the credit pays after tax.
select
    t.subscription_id, t.interval_start, g.id as grant_id, g.description, g.pays, sum(part.amount) as amount
from invoice_items as t
join invoices as i on i.id = t.invoice_id
join invoice_items as c on c.invoice_id = t.invoice_id and c.kind = 'credit'
join credit_grants as g on g.id = c.credit_grant_id
cross join lateral jsonb_to_recordset(
    (c.detail -> 'applied_to') || coalesce(c.detail -> 'taxes_of', '[]')
) as part (item uuid, amount numeric)
where t.subscription_id = any (:subscriptions) and not t.is_void
    and t.interval_start < :next_end and t.interval_end > :month_start
    and i.month <> :month and (i.status <> 'open' or i.month < :month)
    and part.item = t.id
group by t.subscription_id, t.interval_start, g.id
having sum(part.amount) > 0
order by t.subscription_id, t.interval_start, g.priority, g.expires_at nulls last, g.granted_at, g.id

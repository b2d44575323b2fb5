-- One row per subscription, interval and discount: what other invoices took off the fees that they charged for it. The same
-- invoices and intervals count as in `fees_charged`. The `amount` is above zero.
select
    t.subscription_id, t.interval_start, d.discount_id, d.detail ->> 'code' as code, d.description,
    sum(part.amount) as amount
from invoice_items as t
join invoices as i on i.id = t.invoice_id
join invoice_items as d on d.invoice_id = t.invoice_id and d.kind = 'discount'
cross join lateral jsonb_to_recordset(d.detail -> 'applied_to') as part (item uuid, amount numeric)
where t.subscription_id = any (:subscriptions) and not t.is_void
    and t.interval_start < :next_end and t.interval_end > :month_start
    and i.month <> :month and (i.status <> 'open' or i.month < :month)
    and part.item = t.id
group by t.subscription_id, t.interval_start, d.discount_id, d.detail ->> 'code', d.description
having sum(part.amount) > 0
order by t.subscription_id, t.interval_start, d.discount_id

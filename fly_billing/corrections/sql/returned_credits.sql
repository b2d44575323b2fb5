-- name: credit_paid_elsewhere
-- One row per credit and adjustment of this final invoice that the credit paid on another final invoice; and, with
-- is_returned, one row per credit and charge that a correction returned to it. `is_credit`: the key is the credit's own.
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
order by grant_id, key, is_returned;

-- name: credit_terms
-- One row per credit, with the fields of `invoicing.rules.inputs.CreditGrant`; available is the granted amount.
select id, description, amount as available, granted_at, expires_at, priority, scope, pays
from credit_grants
where id = any (:ids);

-- name: invoices_paid_by_credit
-- One row per invoice that credits paid in part, itself or one of its adjustments.
select i.id
from unnest(cast(:invoices as uuid[])) as i (id)
where exists (select from credit_entries as e where e.invoice_id = i.id)
    or exists (
        select from adjustments as a
        join invoice_items as t on t.adjustment_id = a.id
        join credit_entries as e on e.invoice_id = t.invoice_id
        where a.invoice_id = i.id
    );

-- name: items_that_credits_paid
-- One row per item of a final invoice on which credits were drawn or returned; no rows for other invoices. An adjustment
-- that returned credit names the credit.
select
    t.id, t.kind, t.organization_id, t.product, t.description, t.quantity, t.unit, t.amount, t.amount_cents, t.price_id,
    t.negotiated_price_id, t.price_key, t.meter, coalesce(p.match, '{}') || coalesce(n.match, '{}') as match,
    t.subscription_id, t.period_start, t.period_end, t.interval_start, t.interval_end, t.one_off_item_id,
    t.adjustment_id, t.discount_id, t.commitment_id,
    coalesce(t.credit_grant_id, a.credit_grant_id) as credit_grant_id, t.tax_rate_id, t.detail
from invoice_items as t
left join prices as p on p.id = t.price_id
left join negotiated_prices as n on n.id = t.negotiated_price_id
left join adjustments as a on a.id = t.adjustment_id
where t.invoice_id = :invoice_id
    and exists (select from invoice_items as c where c.invoice_id = :invoice_id and c.kind = 'credit')
order by t.position;

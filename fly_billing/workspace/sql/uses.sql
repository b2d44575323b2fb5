-- name: final_invoices_of_terms
-- At most one row per term of :ids: the latest final invoice that used it. :on_table is its table; of a coupon, the id is
-- its code.
select t.id, i.number, i.organization_id, i.month
from unnest(cast(:ids as text []), cast(:organizations as text [])) as t (id, organization_id)
cross join lateral (
    select u.number, u.organization_id, u.month
    from final_invoices_that_used(
        :on_table,
        case :on_table
            when 'coupons' then jsonb_build_object('code', t.id)
            else jsonb_build_object('id', t.id, 'organization_id', t.organization_id)
        end
    ) as u
    order by u.month desc, u.number desc
    limit 1
) as i;

-- name: final_invoices_of_items
-- At most one row per one-off item or negotiated price of :ids: the latest final invoice with an item of it.
select v.id, i.number, i.organization_id, i.month
from unnest(cast(:ids as uuid [])) as v (id)
cross join lateral (
    select u.number, u.organization_id, u.month
    from invoice_items as t
    join invoices as u on u.id = t.invoice_id
    where (t.one_off_item_id = v.id or t.negotiated_price_id = v.id) and u.status <> 'open'
    order by u.month desc, u.number desc
    limit 1
) as i;

-- name: final_invoices_of_tax_rates
-- At most one row per tax rate of :ids: the latest final invoice that was made with it.
select v.id, i.number, i.organization_id, i.month
from unnest(cast(:ids as uuid [])) as v (id)
cross join lateral (
    select u.number, u.organization_id, u.month
    from invoice_tax_rates as x
    join invoices as u on u.id = x.invoice_id
    where x.tax_rate_id = v.id and u.status <> 'open'
    order by u.month desc, u.number desc
    limit 1
) as i;

-- name: final_invoices_of_links
-- At most one row per link of these organizations from these months on: the payer's latest final invoice in its months.
select l.organization_id || '/' || to_char(l.first_month, 'YYYY-MM') as id, i.number, i.organization_id, i.month
from organization_links as l
cross join lateral (
    select u.number, u.organization_id, u.month
    from invoices as u
    where u.organization_id = l.payer_id and u.status <> 'open'
        and daterange(l.first_month, l.last_month, '[]') @> u.month
    order by u.month desc, u.number desc
    limit 1
) as i
where l.organization_id || '/' || to_char(l.first_month, 'YYYY-MM') = any (:ids);

-- name: final_invoices_of_organizations
-- At most one row per organization of :ids: its latest final invoice.
select v.id, i.number, i.organization_id, i.month
from unnest(cast(:ids as text [])) as v (id)
cross join lateral (
    select u.number, u.organization_id, u.month
    from invoices as u
    where u.organization_id = v.id and u.status <> 'open'
    order by u.month desc, u.number desc
    limit 1
) as i;

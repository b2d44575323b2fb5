-- name: cutover_invoices
-- One row per payer's invoice of :month that fly_billing calculated, open or final, with its tax and prepaid credit.
-- Excludes void and imported invoices.
select
    i.id as invoice_id, i.organization_id, o.name as organization_name, i.currency, i.status, i.total_cents,
    cast(coalesce(sum(t.amount_cents) filter (where t.kind = 'tax'), 0) as bigint) as tax_cents,
    cast(
        coalesce(sum(t.amount_cents) filter (where t.kind <> 'tax' and g.pays = 'gross'), 0) as bigint
    ) as prepaid_cents
from invoices as i
join organizations as o on o.id = i.organization_id
left join invoice_items as t on t.invoice_id = i.id
left join adjustments as a on a.id = t.adjustment_id
left join credit_grants as g on g.id = coalesce(t.credit_grant_id, a.credit_grant_id)
where i.month = :month and i.status <> 'void' and i.origin = 'billed'
group by i.id, o.id;

-- name: cutover_products
-- One row per invoice of :month and product: the shares of its total. Excludes added taxes, prepaid credit, void and
-- imported invoices.
select t.invoice_id, t.product, cast(sum(t.amount_cents) as bigint) as cents
from invoices as i
join invoice_items as t on t.invoice_id = i.id
left join adjustments as a on a.id = t.adjustment_id
left join credit_grants as g on g.id = coalesce(t.credit_grant_id, a.credit_grant_id)
where
    i.month = :month and i.status <> 'void' and i.origin = 'billed' and t.kind <> 'tax'
    and g.pays is distinct from 'gross'
group by t.invoice_id, t.product;

-- name: cutover_failed
-- One row per organization whose invoice of :month can't be calculated.
select f.organization_id, o.name as organization_name, o.currency, f.operator_text as reason
from billing_failures as f
join organizations as o on o.id = f.organization_id
where f.month = :month;

-- name: cutover_customers
-- One row per organization: its customer in Stripe, if known, and who pays for it in :month.
select o.id as organization_id, o.stripe_customer_id as customer, coalesce(l.payer_id, o.id) as payer_id
from organizations as o
left join organization_links as l
    on l.organization_id = o.id and l.first_month <= :month and (l.last_month is null or l.last_month >= :month);

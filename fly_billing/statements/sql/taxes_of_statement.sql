-- One row per tax rate on these invoices of the organization itself.
select
    t.invoice_id, t.name, t.percent, t.is_inclusive, t.taxable_cents, t.tax_cents, t.category, t.legal_text
from invoice_taxes as t
join invoices as i on i.id = t.invoice_id
where t.invoice_id = any (:ids) and i.organization_id = :organization_id
order by t.invoice_id, t.name, t.percent desc

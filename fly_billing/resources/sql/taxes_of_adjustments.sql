-- One row per adjustment and tax rate that holds for the invoice it corrects: that of its payer, in its month.
select a.id as adjustment_id, r.id, r.name, r.percent, r.is_inclusive
from adjustments as a
join invoices as i on i.id = a.invoice_id
join tax_rates as r on r.organization_id = i.organization_id and daterange(r.first_month, r.last_month, '[]') @> a.month
where a.id = any (:ids)
order by a.id, r.name, r.id

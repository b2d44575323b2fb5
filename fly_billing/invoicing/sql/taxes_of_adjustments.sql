-- One row per adjustment and tax rate: the rates of the invoice that it corrects, and those that its parts name (a
-- refunded fee has the rates of the month before). `taxed_parts` is the amount taxed at each set of rates, if items
-- differ. An adjustment that goes back to a credit that pays after tax is not taxed: it has no row.
with asked as (
    select a.id, a.invoice_id, a.detail -> 'taxed' as taxed
    from adjustments as a
    left join credit_grants as g on g.id = a.credit_grant_id
    where a.id = any (:ids) and g.pays is distinct from 'gross'
),

used as (
    select asked.id, invoice_tax_rates.tax_rate_id
    from asked
    join invoice_tax_rates on invoice_tax_rates.invoice_id = asked.invoice_id
    union
    select asked.id, cast(rate.value as uuid)
    from asked
    cross join jsonb_array_elements(coalesce(asked.taxed, '[]')) as part
    cross join jsonb_array_elements_text(part.value -> 'rates') as rate
)

select
    used.id as adjustment_id, asked.taxed as taxed_parts, r.id, r.name, r.percent, r.is_inclusive, r.tax, r.category,
    r.legal_text, r.scope, r.locations, r.customers
from used
join asked on asked.id = used.id
join tax_rates as r on r.id = used.tax_rate_id
order by used.id, r.name, r.id

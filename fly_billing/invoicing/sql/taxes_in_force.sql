-- One row per tax rate of these payers in this month, with the payer's location and kind. If the payer's invoice of the
-- month is final, these are the rates that it was made with. Otherwise they are the payer's own rates in force or,
-- without any, the latest version of each key of its price book in the month. Rates with invalid times are included, so
-- that billing refuses them instead of skipping them.
with final as (
    select id, organization_id
    from invoices
    where organization_id = any (:organizations) and month = :month and status not in ('open', 'void')
        and origin = 'billed'
),

payers as (
    select
        id,
        coalesce((
            select h.price_book from organization_history as h
            where h.organization_id = organizations.id and h.before_month > :month
            order by h.before_month limit 1
        ), price_book) as price_book
    from organizations
    where id = any (:organizations) and id not in (select organization_id from final)
),

own as (
    select tax_rates.*
    from tax_rates
    join payers on payers.id = tax_rates.organization_id
    where daterange(first_month, last_month, '[]') @> cast(:month as date)
        or not isfinite(first_month) or not isfinite(last_month)
),

of_book as (
    select distinct on (payers.id, tax_rates.key) payers.id as payer_id, tax_rates.*
    from tax_rates
    join payers on payers.price_book = tax_rates.book
    where payers.id not in (select organization_id from own)
        and (tax_rates.first_month <= :month or not isfinite(tax_rates.first_month))
    order by payers.id, tax_rates.key, tax_rates.first_month desc
),

found as (
    select final.organization_id as payer_id, true as is_of_final_invoice, invoice_tax_rates.tax_rate_id
    from final
    join invoice_tax_rates on invoice_tax_rates.invoice_id = final.id
    union all
    select own.organization_id, false, own.id from own
    union all
    select of_book.payer_id, false, of_book.id from of_book
    where of_book.last_month is null or of_book.last_month >= :month or not isfinite(of_book.last_month)
)

select
    found.payer_id as organization_id, found.is_of_final_invoice, r.id, r.name, r.percent, r.is_inclusive, r.tax,
    r.category, r.legal_text, r.scope, r.locations, r.customers, r.first_month, r.last_month, c.location,
    c.kind as customer_kind
from found
join tax_rates as r on r.id = found.tax_rate_id
left join lateral (
    select location, kind from tax_customers
    where organization_id = found.payer_id and first_month <= :month
    order by first_month desc limit 1
) as c on true
order by found.payer_id, r.name, r.id

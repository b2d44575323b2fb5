-- One row per invoice that can be in no month's total, void ones left out: of all organizations, or that :organization_id pays.
select organization_id, currency, total_cents, month
from invoices
where status <> 'void'
    and (currency is null or total_cents is null or abs(total_cents) >= 1000000000000000 or month is null or not isfinite(month))
    and (cast(:organization_id as text) is null or organization_id = :organization_id)
order by organization_id, id

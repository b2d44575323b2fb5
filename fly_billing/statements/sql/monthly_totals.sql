-- name: monthly_totals
-- One row per month from :first to :last and currency: the number of invoices, and the cents of final invoices, of paid
-- and of written-off ones among them, and of open invoices. `month` is its start. Of all organizations, from an index
-- alone, or of the invoices that :organization_id pays. Not here: void invoices, and those in `unreadable_totals`.
select
    cast(month as timestamp) at time zone 'UTC' as month, currency, count(*) as invoices,
    coalesce(sum(total_cents) filter (where status <> 'open'), 0)::bigint as final_cents,
    coalesce(sum(total_cents) filter (where status = 'paid'), 0)::bigint as paid_cents,
    coalesce(sum(total_cents) filter (where status = 'uncollectible'), 0)::bigint as written_off_cents,
    coalesce(sum(total_cents) filter (where status = 'open'), 0)::bigint as open_cents
from invoices
where month >= :first and month <= :last and status <> 'void'
    and currency is not null and total_cents between -999999999999999 and 999999999999999
    and (cast(:organization_id as text) is null or organization_id = :organization_id)
group by invoices.month, currency
order by invoices.month, currency;

-- name: unreadable_totals
-- One row per invoice that can't be added to any month's total: of all organizations, or that :organization_id pays. Not
-- here: void invoices.
select organization_id, currency, total_cents, month
from invoices
where status <> 'void'
    and (currency is null or total_cents is null or abs(total_cents) >= 1000000000000000 or month is null
        or not isfinite(month))
    and (cast(:organization_id as text) is null or organization_id = :organization_id)
order by organization_id, id;

-- name: check_items_sum
-- One row per invoice of the month whose items do not add up to its total, exactly and in cents; and per invoice whose
-- month is infinite, for every month, because no other statement finds it.
select
    invoices.organization_id, invoices.amount, invoices.total_cents,
    coalesce(sums.amount, 0) as items_amount,
    coalesce(sums.amount_cents, 0) as items_cents,
    case when not isfinite(invoices.month) then 'its month is ' || invoices.month || ': correct the row' end as problem
from invoices
join organizations on organizations.id = invoices.organization_id
cross join lateral (
    select sum(amount) as amount, sum(amount_cents) as amount_cents
    from invoice_items
    where invoice_id = invoices.id
) as sums
where invoices.month in (:month, 'infinity', '-infinity') and organizations.billing_group = any (:groups)
    and (
        coalesce(sums.amount, 0) is distinct from invoices.amount
        or coalesce(sums.amount_cents, 0) is distinct from invoices.total_cents
        or not isfinite(invoices.month)
    )
order by invoices.organization_id;

-- name: final_with_damaged_rollups
-- One row per organization of these billing groups that is on a final invoice of the month and has damaged rollups.
select f.organization_id, f.reason
from rollup_failures as f
join organizations as o on o.id = f.organization_id
where f.month = :month and o.billing_group = any (:groups)
    and exists (
        select from usage_snapshots as s
        join invoice_snapshots as b on b.snapshot_id = s.id
        join invoices as i on i.id = b.invoice_id
        where s.organization_id = f.organization_id and s.month = f.month and i.status not in ('open', 'void')
    )
order by f.organization_id;

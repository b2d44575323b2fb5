-- name: later_months_that_count
-- One row per payer of these groups and later month whose final invoice tops up a minimum over several months, if this
-- month is one of them.
select distinct c.organization_id, due.month
from commitments as c
join organizations as o on o.id = c.organization_id
cross join lateral (
    select
        12 * (extract(year from cast(:month as date)) - extract(year from c.first_month))
        + extract(month from cast(:month as date)) - extract(month from c.first_month) as age
) as ago
cross join lateral (
    select cast(least(
        c.first_month + make_interval(months => cast(ago.age - mod(ago.age, c.months) + c.months - 1 as integer)),
        c.last_month
    ) as date) as month
) as due
join invoices as i
    on i.organization_id = c.organization_id and i.month = due.month and i.status not in ('open', 'void')
    and i.origin = 'billed'
where o.billing_group = any (:groups) and c.kind = 'minimum' and c.months between 2 and 1200
    and isfinite(c.first_month) and coalesce(isfinite(c.last_month), true)
    and daterange(c.first_month, c.last_month, '[]') @> cast(:month as date)
    and due.month > :month
order by due.month, c.organization_id;

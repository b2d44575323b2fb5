-- One row per commitment of these payers that runs in this month. is_due: its term ends with the month. counted_before:
-- the amounts that the invoices of its term counted in earlier months. ran_seconds of whole_seconds: its proration.
-- Commitments with invalid times are included, so that billing refuses them instead of skipping them.
with running as (
    select
        *,
        12 * (extract(year from cast(:month as date)) - extract(year from first_month))
        + extract(month from cast(:month as date)) - extract(month from first_month) as age
    from commitments
    where organization_id = any (:organizations)
        and (
            daterange(first_month, last_month, '[]') @> cast(:month as date)
            or not isfinite(first_month) or not isfinite(last_month)
        )
)

select
    r.organization_id, r.id, r.kind, r.description, r.amount, r.currency, r.scope,
    extract(epoch from
        least(r.runs_until, (r.began + make_interval(months => r.months)) at time zone 'UTC')
        - greatest(r.runs_from, r.began at time zone 'UTC')
    ) as ran_seconds,
    case
        when r.runs_from is not null or r.runs_until is not null
        then extract(epoch from r.began + make_interval(months => r.months) - r.began)
    end as whole_seconds,
    (mod(r.age + 1, r.months) = 0 or r.last_month is not distinct from :month) as is_due,
    coalesce(sum(counted.counted), 0) as counted_before, r.first_month, r.last_month
from (
    select
        *,
        case
            when isfinite(first_month)
            then cast(:month as date) - make_interval(months => cast(mod(age, months) as integer))
        end as began
    from running
) as r
left join (
    select c.commitment_id, c.counted, i.month
    from invoice_commitments as c
    join invoices as i on i.id = c.invoice_id
    where i.status <> 'void'
) as counted
    on counted.commitment_id = r.id and counted.month < :month
    and counted.month >= cast(:month as date) - make_interval(months => cast(mod(r.age, r.months) as integer))
group by
    r.organization_id, r.id, r.kind, r.description, r.amount, r.currency, r.scope, r.age, r.months, r.first_month,
    r.last_month, r.runs_from, r.runs_until, r.began
order by r.organization_id, r.id

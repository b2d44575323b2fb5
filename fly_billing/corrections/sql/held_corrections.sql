-- name: held_corrections
-- One row per final invoice whose correction is held, with its approval (null if there is none). `month` is its start.
-- Without :month, the corrections of all months.
select
    h.id, h.invoice_id, h.organization_id, cast(h.month as timestamp) at time zone 'UTC' as month, h.currency,
    h.gives_back,
    h.charges, h.causes, h.reason, h.decided_at, h.decided_by, a.id as approval_id, a.approved_by, a.why
from held_corrections as h
left join lateral (
    select * from correction_approvals as a
    where a.month = h.month and a.currency = h.currency and a.up_to_decision >= h.id
        and (a.organization_id is null or a.organization_id = h.organization_id)
    order by a.id desc
    limit 1
) as a on true
where cast(:month as date) is null or h.month = :month
order by month, h.currency, h.organization_id;

-- name: months_with_held_corrections
-- One row per month (its start) with held corrections: usage may be back, or someone may have approved them.
select distinct cast(month as timestamp) at time zone 'UTC' as month from held_corrections order by 1;

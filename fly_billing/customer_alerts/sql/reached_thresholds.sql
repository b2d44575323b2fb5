-- One row per threshold on a total (amount, percent, cap) and open month of :months that has reached it without an alert for
-- that month yet. A percentage is compared only if the month before has a final invoice above zero.
select
    t.threshold_id, t.organization_id, t.organization_name, t.kind, t.subject, t.percent,
    to_char(t.month, 'YYYY-MM') as month, t.currency, limits.cents as limit_cents, t.total_cents as reached_cents,
    t.total_cents, t.computed_at as as_of
from thresholds_of_open_months as t
left join organization_spend as b
    on t.kind = 'percent' and b.organization_id = t.organization_id and b.currency = t.currency
        and b.month = cast(t.month - interval '1 month' as date) and b.status <> 'open' and b.total_cents > 0
cross join lateral (
    select coalesce(t.amount_cents, cast(ceil(cast(b.total_cents as numeric) * t.percent / 100) as bigint)) as cents
) as limits
where t.month = any (cast(:months as date[])) and t.kind in ('amount', 'percent', 'cap')
    and limits.cents <= t.total_cents
order by t.month, t.organization_id, limits.cents desc, t.threshold_id

-- One row per threshold on a total (amount, percent, cap) and open month of :months that has reached it without an alert for
-- that month yet. A percentage is compared only if the month before has a final invoice above zero.
select
    t.id as threshold_id, t.organization_id, o.name as organization_name, t.kind, t.subject, t.percent,
    to_char(s.month, 'YYYY-MM') as month, s.currency, limits.cents as limit_cents, s.total_cents as reached_cents,
    s.total_cents, s.computed_at as as_of
from spend_thresholds as t
join organizations as o on o.id = t.organization_id
join organization_spend as s
    on s.organization_id = t.organization_id and s.currency = t.currency and s.status = 'open'
        and s.month = any (cast(:months as date[]))
left join organization_spend as b
    on t.kind = 'percent' and b.organization_id = t.organization_id and b.currency = t.currency
        and b.month = cast(s.month - interval '1 month' as date) and b.status <> 'open' and b.total_cents > 0
cross join lateral (
    select coalesce(t.amount_cents, cast(ceil(cast(b.total_cents as numeric) * t.percent / 100) as bigint)) as cents
) as limits
where t.removed_at is null and t.kind in ('amount', 'percent', 'cap') and limits.cents <= s.total_cents
    and not exists (select from spend_alerts as a where a.threshold_id = t.id and a.month = s.month)
order by s.month, t.organization_id, limits.cents desc, t.id

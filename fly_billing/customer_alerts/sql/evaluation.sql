-- name: mark_thresholds_checked
-- No rows. These thresholds were compared with the invoices up to these times.
update spend_thresholds as t set checked_as_of = greatest(t.checked_as_of, checked.as_of)
from unnest(cast(:ids as uuid[]), cast(:as_of as timestamptz[])) as checked (id, as_of)
where t.id = checked.id;

-- name: record_spend_alerts
-- One row per threshold that is recorded as reached by the month now; none for a threshold that was recorded before.
insert into spend_alerts (threshold_id, organization_id, month, currency, amount_cents, total_cents)
select reached.threshold_id, :organization_id, to_date(:month, 'YYYY-MM'), :currency, reached.limit_cents, reached.cents
from unnest(cast(:threshold_ids as uuid[]), cast(:limits_cents as bigint[]), cast(:reached_cents as bigint[]))
    as reached (threshold_id, limit_cents, cents)
on conflict do nothing
returning threshold_id;

-- name: thresholds_to_read
-- One row per threshold on a part or an estimate (app, product, forecast) and open month of :months whose invoice is newer
-- than the last comparison, if no alert reported it for that month yet. Those that wait longest come first.
select
    t.id as threshold_id, t.organization_id, o.name as organization_name, t.kind, t.subject, t.percent,
    to_char(s.month, 'YYYY-MM') as month, s.currency, t.amount_cents as limit_cents, s.total_cents as reached_cents,
    s.total_cents, s.computed_at as as_of
from spend_thresholds as t
join organizations as o on o.id = t.organization_id
join organization_spend as s
    on s.organization_id = t.organization_id and s.currency = t.currency and s.status = 'open'
        and s.month = any (cast(:months as date[]))
where t.removed_at is null and t.kind in ('app', 'product', 'forecast')
    and (t.checked_as_of is null or t.checked_as_of < s.computed_at)
    and not exists (select from spend_alerts as a where a.threshold_id = t.id and a.month = s.month)
order by
    min(coalesce(t.checked_as_of, '-infinity')) over (partition by t.organization_id, s.month),
    t.organization_id, s.month, t.id;

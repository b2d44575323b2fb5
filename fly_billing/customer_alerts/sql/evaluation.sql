-- name: mark_thresholds_checked
-- No rows. These thresholds were compared with invoices of these months that were calculated at these times.
insert into threshold_checks (threshold_id, month, as_of, compared_at)
select checked.id, to_date(checked.month, 'YYYY-MM'), max(checked.as_of), :now
from unnest(cast(:ids as uuid[]), cast(:months as text[]), cast(:as_of as timestamptz[])) as checked (id, month, as_of)
group by checked.id, checked.month
on conflict (threshold_id, month) do update set
    as_of = greatest(threshold_checks.as_of, excluded.as_of),
    compared_at = greatest(threshold_checks.compared_at, excluded.compared_at);

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
-- than the last comparison, if no alert reported it for that month yet; and per forecast that was compared before
-- :forecasts_before. Those that wait longest come first.
select
    t.threshold_id, t.organization_id, t.organization_name, t.kind, t.subject, t.percent,
    to_char(t.month, 'YYYY-MM') as month, t.currency, t.amount_cents as limit_cents, t.total_cents as reached_cents,
    t.total_cents, t.computed_at as as_of
from thresholds_of_open_months as t
left join threshold_checks as c on c.threshold_id = t.threshold_id and c.month = t.month
where t.month = any (cast(:months as date[])) and t.kind in ('app', 'product', 'forecast')
    and (
        c.as_of is null or c.as_of < t.computed_at or (t.kind = 'forecast' and c.compared_at < :forecasts_before)
    )
order by
    min(coalesce(c.compared_at, '-infinity')) over (partition by t.organization_id, t.month),
    t.organization_id, t.month, t.threshold_id;

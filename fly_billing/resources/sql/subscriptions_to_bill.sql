-- One row per subscription of these organizations that ran at some time in the month, or (in advance) runs in the next,
-- or was charged ahead for one of them; with what other invoices charged for both, and corrections for the next. An open
-- invoice counts where it is of an earlier month: this month's comes after it. A void one does not: it charged nothing,
-- so a month that it charged ahead is charged by that month's own invoice.
-- One whose times nobody can calculate with is there as well, so that it is refused and not passed over in silence.
select
    s.organization_id, s.id, s.price_key, s.started_at, s.ended_at, s.quantity, s.billed, s.proration,
    coalesce(b.before, 0) as billed_before, coalesce(b.ahead, 0) + coalesce(c.ahead, 0) as billed_ahead
from subscriptions as s
left join lateral (
    select
        sum(t.amount) filter (where t.period_start < :month_end) as before,
        sum(t.amount) filter (where t.period_start >= :month_end) as ahead
    from invoice_items as t
    join invoices as i on i.id = t.invoice_id
    where t.subscription_id = s.id and not t.is_void
        and t.period_start >= :month_start and t.period_start < :next_end
        and i.month <> :month and (i.status <> 'open' or i.month < :month)
) as b on true
left join lateral (
    select sum(a.amount) as ahead
    from adjustments as a
    join invoices as i on i.id = a.invoice_id
    where a.organization_id = s.organization_id
        and a.month = cast(cast(:month_end as timestamptz) at time zone 'UTC' as date)
        and a.item_key = s.organization_id || '|subscription|' || s.id and i.status <> 'void'
) as c on true
where s.organization_id = any (:organizations)
    and (
        (s.started_at < :month_end and (s.ended_at is null or s.ended_at > :month_start))
        or not isfinite(s.started_at) or not isfinite(s.ended_at)
        or b.before <> 0 or b.ahead <> 0 or c.ahead <> 0
        or (s.billed = 'in_advance' and s.started_at < :next_end and (s.ended_at is null or s.ended_at > :month_end))
    )
order by s.organization_id, s.started_at, s.id

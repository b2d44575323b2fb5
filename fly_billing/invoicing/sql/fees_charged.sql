-- One row per subscription of these organizations, interval and currency: the amount that other invoices charged for
-- the interval, with corrections of the month in which it ends, and the last month that charged it. Intervals end after
-- the month begins, and begin before the next month ends. Open invoices count if they are of an earlier month. Void
-- invoices do not count, so that a later invoice charges the interval.
with charged as (
    select t.subscription_id, t.interval_start, t.interval_end, t.amount, i.month, i.currency
    from subscriptions as s
    join invoice_items as t on t.subscription_id = s.id and t.interval_end > :month_start
    join invoices as i on i.id = t.invoice_id
    where s.organization_id = any (:organizations) and not t.is_void
        and i.month <> :month and (i.status <> 'open' or i.month < :month)
    union all
    -- All corrections of a month have the same interval. If none recorded it, the interval was the calendar month.
    select
        s.id,
        coalesce(
            max(cast(a.detail ->> 'interval_start' as timestamptz)) over of_one,
            cast(a.month as timestamp) at time zone 'UTC'
        ),
        coalesce(
            max(cast(a.detail ->> 'interval_end' as timestamptz)) over of_one,
            (a.month + interval '1 month') at time zone 'UTC'
        ),
        a.amount, a.month, a.currency
    from subscriptions as s
    join adjustments as a
        on a.organization_id = s.organization_id and a.item_key = s.organization_id || '|subscription|' || s.id
    join invoices as i on i.id = a.invoice_id
    where s.organization_id = any (:organizations) and a.month > :month and i.status <> 'void'
    window of_one as (partition by s.id, a.month)
)

select
    subscription_id, interval_start as start, interval_end as "end", sum(amount) as amount, currency,
    coalesce(max(month) filter (where amount > 0), max(month)) as month
from charged
where interval_start < :next_end and interval_end > :month_start
group by subscription_id, interval_start, interval_end, currency
order by subscription_id, interval_start, currency

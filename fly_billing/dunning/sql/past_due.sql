-- name: past_due_to_tell
-- One row per final invoice in Stripe and threshold (in days) that it has reached and :channel has no message of, oldest
-- due date first. due_cents: what Stripe asks for now. due_on: the customer's due date, which Stripe counts from the day
-- on which it got the invoice. An invoice that Stripe does not ask for yet is not late.
select
    i.id as invoice_id, i.organization_id, i.number, i.month, i.status, i.currency,
    coalesce(amounts.remaining_cents, r.due_cents) as due_cents, d.due_on,
    cast(:today as date) - d.due_on as days_past_due, p.next_attempt_at, s.stripe_invoice_id, t.days as threshold_days
from finance_receivables as r
join invoices as i on i.id = r.invoice_id
join stripe_invoices as s on s.invoice_id = i.id and s.state = 'finalized'
cross join lateral (select coalesce(s.stripe_due_on, i.due_on) as due_on) as d
join unnest(cast(:thresholds as integer[])) as t (days) on cast(:today as date) - d.due_on >= t.days
left join payment_failures as p on p.invoice_id = i.id
left join lateral (
    select a.remaining_cents
    from stripe_invoice_amounts as a
    where a.invoice_id = i.id and a.stripe_invoice_id = s.stripe_invoice_id
    order by a.number desc
    limit 1
) as amounts on true
where coalesce(amounts.remaining_cents, r.due_cents) > 0
    and not exists (
        select from alerts as a
        where a.key = 'past due ' || i.id || ' ' || t.days and a.channel = :channel
    )
order by d.due_on, i.organization_id, i.month, t.days;

-- name: over_to_tell
-- One row per invoice whose past-due messages :channel has all taken and that is given up, or on which nothing is owed any
-- more, if that call was not made. So this message never overtakes an earlier one.
with told as (
    select cast(split_part(key, ' ', 3) as uuid) as invoice_id
    from alerts
    where channel = :channel and key like 'past due %'
    group by 1
    having bool_and(taken_at is not null)
),

now_over as (
    select i.*, s.stripe_invoice_id, coalesce(s.stripe_due_on, i.due_on) as customer_due_on, amounts.remaining_cents
    from told
    join invoices as i on i.id = told.invoice_id
    left join stripe_invoices as s on s.invoice_id = i.id
    left join lateral (
        select a.remaining_cents
        from stripe_invoice_amounts as a
        where a.invoice_id = i.id and a.stripe_invoice_id = s.stripe_invoice_id
        order by a.number desc
        limit 1
    ) as amounts on true
)

select
    o.id as invoice_id, o.organization_id, o.number, o.month, o.status, o.currency,
    case when o.status = 'uncollectible' then coalesce(o.remaining_cents, o.total_cents) else 0 end as due_cents,
    o.customer_due_on as due_on, greatest(cast(:today as date) - o.customer_due_on, 0) as days_past_due,
    cast(null as timestamptz) as next_attempt_at, o.stripe_invoice_id
from now_over as o
where (o.status <> 'finalized' or o.remaining_cents = 0)
    and not exists (
        select from alerts as a
        where a.channel = :channel
            and a.key = case when o.status = 'uncollectible' then 'given up ' else 'settled ' end || o.id
    )
order by o.customer_due_on, o.organization_id, o.month;

-- name: late_payments_now
-- One row per final invoice in Stripe that is at least :days past due on :today and asks for money, the oldest due date
-- first, then the largest amount.
select
    i.organization_id, to_char(i.month, 'YYYY-MM') as month, i.currency,
    coalesce(amounts.remaining_cents, r.due_cents) as due_cents, d.due_on, p.next_attempt_at
from finance_receivables as r
join invoices as i on i.id = r.invoice_id
join stripe_invoices as s on s.invoice_id = i.id and s.state = 'finalized'
cross join lateral (select coalesce(s.stripe_due_on, i.due_on) as due_on) as d
left join payment_failures as p on p.invoice_id = i.id
left join lateral (
    select a.remaining_cents
    from stripe_invoice_amounts as a
    where a.invoice_id = i.id and a.stripe_invoice_id = s.stripe_invoice_id
    order by a.number desc
    limit 1
) as amounts on true
where cast(:today as date) - d.due_on >= :days and coalesce(amounts.remaining_cents, r.due_cents) > 0
order by d.due_on, coalesce(amounts.remaining_cents, r.due_cents) desc, i.organization_id, i.month;

-- name: add_first_alerts
-- No rows. Each organization of which it was not decided yet has its first threshold now, if its currency has an amount.
with undecided as (
    select o.id, o.currency, first.amount_cents
    from organizations as o
    left join unnest(cast(:currencies as text[]), cast(:amounts_cents as bigint[])) as first (currency, amount_cents)
        on first.currency = o.currency
    where not exists (select from first_alerts as f where f.organization_id = o.id)
),

added as (
    insert into spend_thresholds (organization_id, kind, currency, amount_cents)
    select u.id, 'amount', u.currency, u.amount_cents from undecided as u
    where u.amount_cents is not null
    on conflict do nothing
    returning organization_id, id
)

insert into first_alerts (organization_id, threshold_id)
select u.id, a.id from undecided as u
left join added as a on a.organization_id = u.id
on conflict do nothing;

-- name: add_spend_threshold
-- One row if the threshold is new or was removed, none if it exists already.
insert into spend_thresholds (organization_id, kind, subject, currency, amount_cents, percent)
values (:organization_id, :kind, :subject, :currency, :amount_cents, :percent)
on conflict (organization_id, kind, subject, currency, amount_cents, percent) do update
    set removed_at = null
    where spend_thresholds.removed_at is not null
returning id;

-- name: currencies_of_new_organizations
-- One row per currency of the organizations of which it was not decided yet whether they get a first threshold.
select distinct o.currency from organizations as o
where not exists (select from first_alerts as f where f.organization_id = o.id)
order by o.currency;

-- name: remove_spend_threshold
-- One row if the threshold existed, none if not.
update spend_thresholds set removed_at = now()
where organization_id = :organization_id and kind = :kind and currency = :currency and removed_at is null
    and subject is not distinct from cast(:subject as text)
    and amount_cents is not distinct from cast(:amount_cents as bigint)
    and percent is not distinct from cast(:percent as integer)
returning id;

-- name: spend_thresholds
-- One row per threshold of one organization, or of all (null), with the last month in which an alert reported it. Removed
-- ones are not included. billed_in: the currency of this month's invoice.
select
    s.id, s.organization_id, s.kind, s.subject, s.currency, s.amount_cents, s.percent,
    exists (select from first_alerts as f where f.threshold_id = s.id) as is_first, s.added_at,
    (select to_char(max(alert.month), 'YYYY-MM') from spend_alerts as alert where alert.threshold_id = s.id)
        as last_alerted,
    billed_currency(s.organization_id, cast(now() at time zone 'UTC' as date)) as billed_in
from spend_thresholds as s
where s.organization_id = coalesce(:organization_id, s.organization_id) and s.removed_at is null
order by s.organization_id, s.kind, s.subject, s.currency, s.amount_cents, s.percent;

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
-- One row: the threshold, and whether it is new or was removed. False: it existed already.
select threshold_id, is_new
from add_spend_threshold(
    :organization_id, :kind, cast(:subject as text), :currency, cast(:amount_cents as bigint),
    cast(:percent as integer)
);

-- name: add_spend_threshold_with_token
-- One row, as of add_spend_threshold: for the role that can only read, with a token that may do it.
select threshold_id, is_new
from add_spend_threshold_with_token(
    :token_id, :organization_id, :kind, cast(:subject as text), :currency, cast(:amount_cents as bigint),
    cast(:percent as integer)
);

-- name: changes_of_thresholds_today
-- One row: how often thresholds and caps of the organization were added or removed within 24 hours.
select count(*) as changes
from spend_threshold_changes as c
join spend_thresholds as t on t.id = c.threshold_id
where t.organization_id = :organization_id and c.changed_at > now() - interval '1 day';

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

-- name: remove_spend_threshold_with_token
-- One row: false if the organization never had this threshold. It is removed now, or was before.
select remove_spend_threshold_with_token(:token_id, :organization_id, :threshold_id) as was_known;

-- name: spend_thresholds
-- One row per threshold of one organization, or of all (null), with the last month in which an alert reported it. Removed
-- ones are not included. added_by: who added it, null before that was recorded. billed_in: the currency of this month's
-- invoice.
select
    s.id, s.organization_id, s.kind, s.subject, s.currency, s.amount_cents, s.percent,
    exists (select from first_alerts as f where f.threshold_id = s.id) as is_first,
    added.changed_by as added_by,
    (select to_char(max(alert.month), 'YYYY-MM') from spend_alerts as alert where alert.threshold_id = s.id)
        as last_alerted,
    billed_currency(s.organization_id, cast(now() at time zone 'UTC' as date)) as billed_in
from spend_thresholds as s
left join lateral (
    select c.changed_by from spend_threshold_changes as c
    where c.threshold_id = s.id and c.action = 'added'
    order by c.id desc
    limit 1
) as added on true
where s.organization_id = coalesce(:organization_id, s.organization_id) and s.removed_at is null
order by s.organization_id, s.kind, s.subject, s.currency, s.amount_cents, s.percent;

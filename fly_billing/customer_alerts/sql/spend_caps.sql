-- name: acknowledge_cap_call
-- One row: whether the organization's newest call waited for an acknowledgement. It is acknowledged now.
select acknowledge_cap_call(:organization_id, :channel, null) as waited;

-- name: acknowledge_cap_call_with_token
-- One row: whether this call is acknowledged, now or before. A call that a newer one replaced can't be. For the role that
-- can only read, with a token that may do it.
select acknowledge_cap_call_with_token(:token_id, :organization_id, :channel, :number) as is_acknowledged;

-- name: capped_spend
-- One row per organization that has a cap, or whose last call says that it has reached one. spent_cents: the spend of :month
-- so far, in the currency of the cap; null if the month has no invoice in it.
with caps as (
    select t.organization_id, t.currency, t.amount_cents from spend_thresholds as t
    where t.kind = 'cap' and t.removed_at is null
),

last_calls as (
    select distinct on (c.organization_id) c.organization_id, c.number, c.state, c.month, c.currency, c.cap_cents
    from spend_cap_calls as c
    order by c.organization_id, c.number desc
)

select
    o.id as organization_id, to_char(cast(:month as date), 'YYYY-MM') as month,
    coalesce(caps.currency, last_calls.currency) as currency, caps.amount_cents as cap_cents,
    (
        select cast(sum(s.total_cents) as bigint) from organization_spend as s
        where s.organization_id = o.id and s.month = :month
            and s.currency = coalesce(caps.currency, last_calls.currency)
    ) as spent_cents,
    coalesce(last_calls.number, 0) as last_number, last_calls.state as last_state,
    to_char(last_calls.month, 'YYYY-MM') as last_month, last_calls.cap_cents as last_cap_cents,
    last_calls.currency as last_currency
from organizations as o
left join caps on caps.organization_id = o.id
left join last_calls on last_calls.organization_id = o.id
where caps.organization_id is not null or last_calls.state = 'reached'
order by o.id;

-- name: caps_in_another_currency
-- One row per cap in another currency than that of the organization's invoice of :month: nothing is compared with it.
select t.id, t.organization_id, t.currency as cap_currency, billed.currency
from spend_thresholds as t
cross join lateral (select billed_currency(t.organization_id, :month) as currency) as billed
where t.kind = 'cap' and t.removed_at is null and t.currency <> billed.currency
order by t.organization_id;

-- name: record_cap_call
-- No rows. The platform is called.
insert into spend_cap_calls (
    organization_id, number, state, reason, month, currency, cap_cents, spent_cents, called_at
)
values (
    :organization_id, :number, :state, :reason, to_date(:month, 'YYYY-MM'), :currency, :cap_cents, :spent_cents,
    :called_at
);

-- name: remove_cap
-- One row if the organization had a cap, none if not.
update spend_thresholds set removed_at = now()
where organization_id = :organization_id and kind = 'cap' and removed_at is null
returning id;

-- name: replace_cap_calls
-- No rows. Calls of the organization that the platform has not acknowledged are given up: a newer one is right.
update alerts set
    given_up_at = now(), is_withdrawn = true, refusals = refusals + 1, last_refusal = 'replaced by a newer call'
where channel = :channel and organization_id = :organization_id and taken_at is null and given_up_at is null;

-- name: spend_caps
-- One row per organization, or of one, that has a cap or that the platform was called about: its cap, and the newest call.
-- attempts: of that call, which is acknowledged at acknowledged_at. billed_in: the currency of this month's invoice.
select
    o.id as organization_id, t.currency, t.amount_cents as cap_cents, c.number, c.state, c.reason,
    to_char(c.month, 'YYYY-MM') as month, c.called_at, a.taken_at as acknowledged_at, a.refusals as attempts,
    a.last_refusal, billed_currency(o.id, cast(now() at time zone 'UTC' as date)) as billed_in
from organizations as o
left join spend_thresholds as t on t.organization_id = o.id and t.kind = 'cap' and t.removed_at is null
left join lateral (
    select calls.* from spend_cap_calls as calls where calls.organization_id = o.id
    order by calls.number desc
    limit 1
) as c on true
left join alerts as a on a.channel = :channel and a.key = 'spend cap ' || c.organization_id || ' ' || c.number
where o.id = coalesce(:organization_id, o.id)
    and (t.id is not null or c.state = 'reached' or (c.state is not null and a.taken_at is null))
order by o.id;

-- name: set_spend_cap
-- One row: the cap, and whether it differs from the one before, which it replaces.
select threshold_id, is_new from set_spend_cap(:organization_id, :currency, cast(:amount_cents as bigint));

-- name: set_spend_cap_with_token
-- One row, as of set_spend_cap: for the role that can only read, with a token that may do it.
select threshold_id, is_new
from set_spend_cap_with_token(:token_id, :organization_id, :currency, cast(:amount_cents as bigint));

-- name: unacknowledged_cap_calls
-- One row per organization whose newest call the platform has not acknowledged since :before.
select a.organization_id, a.key, a.subject, c.called_at, a.refusals, a.last_refusal
from alerts as a
join spend_cap_calls as c on a.key = 'spend cap ' || c.organization_id || ' ' || c.number
where a.channel = :channel and a.taken_at is null and a.given_up_at is null and c.called_at < :before
order by a.organization_id;

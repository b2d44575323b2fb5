-- name: add_credit_note
-- No rows. A credit note, numbered per invoice, and the credit that it gives: drawn before what was prepaid (0), and after
-- a reservation's (-10), which would be lost at the month's end.
with granted as (
    insert into credit_grants (id, organization_id, description, amount, currency, priority, granted_at)
    values (:grant_id, :organization_id, :description, :amount, :currency, -5, :made_at)
    returning id
)

insert into credit_notes (id, invoice_id, number, amount_cents, credit_grant_id, made_at, made_by, why)
select
    :id, :invoice_id,
    (select coalesce(max(number), 0) + 1 from credit_notes where invoice_id = :invoice_id),
    :amount_cents, granted.id, :made_at, :made_by, :why
from granted;

-- name: billed_items
-- One row per item of the final invoices of these payers in the month, void ones left out; one with an empty item where an
-- invoice has none. Imported invoices are left out: another system made them.
select
    i.organization_id as payer_id, i.id as invoice_id, t.id, t.kind, t.organization_id, t.product, t.description,
    t.quantity, t.unit, t.amount, t.amount_cents, t.price_id, t.negotiated_price_id, t.price_key,
    t.meter, t.subscription_id, t.period_start, t.period_end, t.interval_start, t.interval_end, t.discount_id,
    t.commitment_id, t.detail
from invoices as i
left join invoice_items as t on t.invoice_id = i.id
where i.organization_id = any (:organizations) and i.month = :month and i.status not in ('open', 'void')
    and i.origin = 'billed'
order by i.organization_id, t.position;

-- name: booked_adjustments
-- One row per invoice and thing that was adjusted: the sum of its adjustments, and what the last of them said of it. Where
-- an early one did not say so, its key and its text tell. What went back to credits is left out: `credit_paid_elsewhere`.
select distinct on (invoice_id, item_key)
    invoice_id, item_key as key, organization_id, product,
    sum(amount) over (partition by invoice_id, item_key) as amount,
    coalesce(detail ->> 'kind', split_part(item_key, '|', 2)) as kind,
    coalesce(detail ->> 'description', description) as description,
    cast(coalesce(detail ->> 'quantity', '0') as numeric) as quantity,
    coalesce(detail ->> 'unit', 'unit') as unit,
    detail ->> 'meter' as meter
from adjustments
where invoice_id = any (:invoices) and credit_grant_id is null
order by invoice_id, item_key, made_at desc, id;

-- name: keep_as_billed
-- No rows. A person leaves this final invoice as it is, whatever terms of its month changed until now.
insert into term_decisions (invoice_id, up_to_change, decided_by, why, decided_at)
values (:invoice_id, (select coalesce(max(id), 0) from term_changes), :who, :why, :at);

-- name: later_months_that_count
-- One row per payer of these groups and month whose final invoice charges what is missing to a minimum over several months,
-- this month, which is before it, among them.
select distinct c.organization_id, due.month
from commitments as c
join organizations as o on o.id = c.organization_id
cross join lateral (
    select
        12 * (extract(year from cast(:month as date)) - extract(year from c.first_month))
        + extract(month from cast(:month as date)) - extract(month from c.first_month) as age
) as ago
cross join lateral (
    select cast(least(
        c.first_month + make_interval(months => cast(ago.age - mod(ago.age, c.months) + c.months - 1 as integer)),
        c.last_month
    ) as date) as month
) as due
join invoices as i
    on i.organization_id = c.organization_id and i.month = due.month and i.status not in ('open', 'void')
    and i.origin = 'billed'
where o.billing_group = any (:groups) and c.kind = 'minimum' and c.months between 2 and 1200
    and isfinite(c.first_month) and coalesce(isfinite(c.last_month), true)
    and daterange(c.first_month, c.last_month, '[]') @> cast(:month as date)
    and due.month > :month
order by due.month, c.organization_id;

-- name: mark_corrected
-- No rows. These final invoices, together with their adjustments, bill these snapshots from now on.
with corrected as (
    select *
    from unnest(cast(:invoices as uuid[]), cast(:snapshots as uuid[])) as c (invoice_id, snapshot_id)
),

outdated as (
    delete from corrected_snapshots as s
    where s.invoice_id in (select invoice_id from corrected)
        and not exists (
            select from corrected where corrected.invoice_id = s.invoice_id and corrected.snapshot_id = s.snapshot_id
        )
)

insert into corrected_snapshots (invoice_id, snapshot_id)
select invoice_id, snapshot_id from corrected
on conflict do nothing;

-- name: mark_counted
-- No rows. What of these final invoices, together with their adjustments, counts towards commitments from now on.
insert into invoice_commitments (invoice_id, commitment_id, counted)
select * from unnest(cast(:invoices as uuid[]), cast(:commitments as uuid[]), cast(:amounts as numeric[]))
on conflict (invoice_id, commitment_id) do update set counted = excluded.counted
where invoice_commitments.counted <> excluded.counted;

-- name: meters_of_levels
-- One row per meter whose events are levels that hold until the next one.
select key
from meters
where aggregation = 'time_weighted'
order by key;

-- name: snapshots_changed_since
-- One row per organization whose usage of the month is no longer what these invoices billed: the versions of the usage
-- table of then and now.
select b.organization_id, b.lake_version as billed_version, n.lake_version as version
from invoices as i
join invoice_snapshots as s on s.invoice_id = i.id
join usage_snapshots as b on b.id = s.snapshot_id
join usage_snapshots as n on n.organization_id = b.organization_id and n.month = b.month and n.is_current
where i.id = any (:invoices) and i.month = :month and n.id <> b.id
order by b.organization_id;

-- name: terms_changed_since
-- One row per organization or price book of which terms of this month changed after it was final, with the newest change.
select organization_id, book, max(id) as newest
from term_changes
where first_month <= :month and (last_month is null or last_month >= :month)
group by organization_id, book;

-- name: terms_decided
-- One row per invoice that a person left as it is, and up to which change of terms.
select invoice_id, max(up_to_change) as up_to_change
from term_decisions
where invoice_id = any (:invoices)
group by invoice_id;

-- name: undecided_terms
-- One row per final invoice and change of terms of its month on which nobody decided yet: whose term it is (`book`: a price
-- of that book), what changed, when and by whom. `month` is its start.
select
    i.id as invoice_id, i.organization_id, cast(i.month as timestamp) at time zone 'UTC' as month,
    c.organization_id as about,
    c.book, c.what, c.changed_at, c.changed_by
from term_changes as c
join invoices as i
    on i.status not in ('open', 'void') and i.origin = 'billed' and i.month >= c.first_month
    and (c.last_month is null or i.month <= c.last_month)
    and (
        i.organization_id = c.organization_id
        or exists (
            select from organization_links as l
            where l.organization_id = c.organization_id and l.payer_id = i.organization_id
                and daterange(l.first_month, l.last_month, '[]') @> i.month
        )
        or exists (
            select from invoice_items as t
            join prices as p on p.id = t.price_id
            where t.invoice_id = i.id and p.book = c.book
        )
    )
where (cast(:month as date) is null or i.month = :month)
    and c.id > coalesce((select max(d.up_to_change) from term_decisions as d where d.invoice_id = i.id), 0)
order by i.month, i.organization_id, c.id;

-- name: usage_as_billed
-- One row per final invoice of these payers in the month and usage snapshot that it, together with its adjustments, bills.
select i.id as invoice_id, i.organization_id as payer_id, s.snapshot_id
from invoices as i
join lateral (
    select snapshot_id from corrected_snapshots as c where c.invoice_id = i.id
    union all
    select snapshot_id from invoice_snapshots as b
    where b.invoice_id = i.id and not exists (select from corrected_snapshots as c where c.invoice_id = i.id)
) as s on true
where i.organization_id = any (:organizations) and i.month = :month and i.status not in ('open', 'void')
    and i.origin = 'billed';

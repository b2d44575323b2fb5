-- name: keep_as_billed
-- No rows. Records the decision to keep this final invoice as it is, despite all changes of terms until now.
insert into term_decisions (invoice_id, up_to_change, decided_by, why, decided_at)
values (:invoice_id, (select coalesce(max(id), 0) from term_changes), :who, :why, :at);

-- name: terms_changed_since
-- One row per organization or price book whose terms changed for this month after it was final, with the newest change.
select organization_id, book, max(id) as newest
from term_changes
where first_month <= :month and (last_month is null or last_month >= :month)
group by organization_id, book;

-- name: terms_decided
-- One row per invoice that someone decided to keep as it is, with the last change of terms that the decision covers.
select invoice_id, max(up_to_change) as up_to_change
from term_decisions
where invoice_id = any (:invoices)
group by invoice_id;

-- name: undecided_terms
-- One row per final invoice and change of terms of its month on which nobody has decided yet. `about`: the organization
-- whose term changed; `book`: the price book whose price changed. `month` is its start.
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
-- One row per usage snapshot that a final invoice of these payers in the month bills, with its adjustments.
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

-- name: are_all_open_invoices
-- One row: true if no other organization than these has an open invoice for the month.
select not exists (
    select from invoices as i
    where i.month = :month and i.status = 'open' and i.origin = 'billed'
        and not exists (select from unnest(cast(:organizations as text[])) as o (id) where o.id = i.organization_id)
) as are_all;

-- name: confirm_month
-- No rows. Records that all open invoices of the month, except of failed organizations, are right: calculating them now
-- would give the same.
insert into invoice_confirmations (month, confirmed_at) values (:month, :now)
on conflict (month) do update set confirmed_at = excluded.confirmed_at;

-- name: confirm_invoices
-- No rows. Records the same of the open invoices of these organizations.
update invoices set computed_at = :now
where month = :month and organization_id = any (:organizations) and status = 'open' and origin = 'billed';

-- name: keep_time
-- No rows. Writes when it was last known to be right to the open invoice of an organization: the month's next
-- confirmation is not about it.
update invoices as i set computed_at = greatest(i.computed_at, c.confirmed_at)
from invoice_confirmations as c
where c.month = i.month and i.month = :month and i.organization_id = :organization_id
    and i.status = 'open' and i.origin = 'billed'
    and not exists (
        select from billing_failures as f where f.organization_id = i.organization_id and f.month = i.month
    );

-- name: drop_open_of_linked
-- No rows. Deletes open invoices of organizations that are on their payer's invoice in this month, if they or their
-- payers are in these billing groups. In order, so that two runs never wait for each other.
delete from invoices where id = any (array(
    select i.id
    from invoices as i
    join organization_links as l
        on l.organization_id = i.organization_id
        and daterange(l.first_month, l.last_month, '[]') @> cast(:month as date)
    join organizations as members on members.id = l.organization_id
    join organizations as payers on payers.id = l.payer_id
    where i.month = :month and i.status = 'open'
        and (members.billing_group = any (:groups) or payers.billing_group = any (:groups))
    order by i.id
    for update of i
));

-- name: forget_billing_failures
-- No rows. Deletes the failures of organizations whose invoices could be computed. A failure that was alerted becomes a
-- recovery, which is alerted too.
with gone as (
    delete from billing_failures where month = :month and organization_id = any (:organizations)
    returning organization_id, month, alerted_code
)
insert into billing_recoveries (organization_id, month, alerted_code)
select organization_id, month, alerted_code from gone where alerted_code is not null
on conflict (organization_id, month) do update set alerted_code = excluded.alerted_code, recovered_at = now();

-- name: groups_to_bill
-- One row per billing group of these: the number of its organizations without a final invoice of the month.
select
    billing_group,
    count(*) filter (
        where not exists (
            select from invoices
            where invoices.organization_id = organizations.id and invoices.month = :month
                and invoices.status not in ('open', 'void')
        )
    ) as organizations
from organizations
where billing_group = any (:groups)
group by billing_group;

-- name: linked_groups
-- One row per pair of billing groups of which an organization of the first pays for others of the second in this month.
select distinct payers.billing_group as payer, members.billing_group as member
from organization_links as l
join organizations as payers on payers.id = l.payer_id
join organizations as members on members.id = l.organization_id
where daterange(l.first_month, l.last_month, '[]') @> cast(:month as date);

-- name: groups_of_organizations
-- One row per billing group of these organizations.
select distinct billing_group from organizations where id = any (:organizations);

-- name: make_computed
-- No rows. Creates the temporary table into which COPY writes a block of computed invoices.
create temp table computed_invoices (like invoices) on commit drop;

-- name: make_staged_items
-- One row. Creates the temporary tables into which COPY writes the items of these invoices and their links to usage.
select stage_invoice_items();

-- name: record_billing_failure
-- No rows. Records that the organization's invoice of the month can't be computed. `alerted_code` stays, so that the
-- same failure is not alerted twice, not even after a recovery that was not alerted yet.
with untold as (
    delete from billing_recoveries where organization_id = :organization_id and month = :month returning alerted_code
)
insert into billing_failures (
    organization_id, month, code, customer_text, operator_text, retryable, run_id, failed_at, alerted_code
)
values (
    :organization_id, :month, :code, :customer_text, :operator_text, :retryable, :run_id, :now,
    (select alerted_code from untold)
)
on conflict (organization_id, month) do update set
    code = excluded.code, customer_text = excluded.customer_text, operator_text = excluded.operator_text,
    retryable = excluded.retryable, run_id = excluded.run_id, failed_at = excluded.failed_at;

-- name: mark_corrected
-- No rows. Records the snapshots that these final invoices, with their adjustments, bill from now on.
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
-- No rows. Records the amounts that these final invoices, with their adjustments, count towards commitments from now on.
insert into invoice_commitments (invoice_id, commitment_id, counted)
select * from unnest(cast(:invoices as uuid[]), cast(:commitments as uuid[]), cast(:amounts as numeric[]))
on conflict (invoice_id, commitment_id) do update set counted = excluded.counted
where invoice_commitments.counted <> excluded.counted;

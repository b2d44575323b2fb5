-- No rows. What of these final invoices, together with their adjustments, counts towards commitments from now on.
insert into invoice_commitments (invoice_id, commitment_id, counted)
select * from unnest(cast(:invoices as uuid[]), cast(:commitments as uuid[]), cast(:amounts as numeric[]))
on conflict (invoice_id, commitment_id) do update set counted = excluded.counted
where invoice_commitments.counted <> excluded.counted

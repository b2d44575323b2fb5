-- No rows. These organizations' invoices of the month can be computed (again). Of whom people were told, they are told
-- that it is over.
with gone as (
    delete from billing_failures where month = :month and organization_id = any (:organizations)
    returning organization_id, month, alerted_code
)
insert into billing_recoveries (organization_id, month, alerted_code)
select organization_id, month, alerted_code from gone where alerted_code is not null
on conflict (organization_id, month) do update set alerted_code = excluded.alerted_code, recovered_at = now()

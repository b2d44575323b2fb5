-- No rows.
insert into tax_rates (id, organization_id, name, percent, first_month)
values (:id, :organization_id, :name, :percent, :first_month)
on conflict do nothing

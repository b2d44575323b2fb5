-- No rows.
insert into commitments (id, organization_id, kind, description, amount, currency, first_month)
values (:id, :organization_id, 'minimum', :description, :amount, 'USD', :first_month)
on conflict do nothing

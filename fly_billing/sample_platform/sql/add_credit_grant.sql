-- No rows.
insert into credit_grants (id, organization_id, description, amount, currency, granted_at)
select :id, :organization_id, :description, :amount, 'USD', :at
where not exists (select from credit_grants where id = :id)

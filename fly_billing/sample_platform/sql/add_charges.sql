-- No rows. An item that is there already stays as it is.
insert into one_off_items (id, organization_id, description, amount, currency, occurred_at)
values (:id, :organization_id, :description, :amount, 'USD', :occurred_at)
on conflict (id) do nothing

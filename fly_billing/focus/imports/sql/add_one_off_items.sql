-- No rows. An item that is there already stays as it is.
insert into one_off_items (id, organization_id, description, amount, currency, occurred_at, imported_as)
values (:id, :organization_id, :description, :amount, :currency, :occurred_at, :imported_as)
on conflict (id) do nothing

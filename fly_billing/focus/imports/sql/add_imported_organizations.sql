-- No rows. An organization that is there stays as it is, but for an earlier first month: its charges must be billable.
insert into organizations (id, name, currency, price_book, billing_group, created_at)
values (:id, :name, :currency, :book, :billing_group, :created_at)
on conflict (id) do update set created_at = excluded.created_at
where excluded.created_at < organizations.created_at

-- No rows. An organization that is there already stays as it is.
insert into organizations (id, name, currency, price_book, stripe_customer_id, billing_group, created_at)
values (:id, :name, 'USD', 'fly', :stripe_customer_id, :billing_group, :created_at)
on conflict (id) do nothing

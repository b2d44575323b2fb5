-- One row if the invoice is new. Open first: the database lets no invoice be born finalized.
insert into invoices (id, organization_id, month, origin, status, currency, amount, total_cents, computed_at)
values (:id, :organization_id, :month, 'imported', 'open', :currency, :amount, :total_cents, :computed_at)
on conflict (id) do nothing
returning id

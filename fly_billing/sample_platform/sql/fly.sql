-- name: add_imported_invoice
-- One row if the invoice is new. It starts open, because the database rejects new invoices that are final.
insert into invoices (id, organization_id, month, origin, status, currency, amount, total_cents, computed_at)
values (:id, :organization_id, :month, 'imported', 'open', :currency, :amount, :total_cents, :computed_at)
on conflict (id) do nothing
returning id;

-- name: add_imported_items
-- No rows. The items of an imported invoice.
insert into invoice_items (
    id, invoice_id, position, kind, organization_id, product, description, quantity, unit, amount, amount_cents,
    one_off_item_id
)
values (
    :id, :invoice_id, :position, :kind, :organization_id, :product, :description, :quantity, :unit, :amount,
    :amount_cents,
    :one_off_item_id
);

-- name: finalize_imported_invoice
-- No rows. The database checks that the items add up to the total.
update invoices set status = 'finalized', finalized_at = :finalized_at, due_on = :due_on where id = :id;

-- name: settle_imported_invoice
-- No rows. The invoice was paid in the earlier system.
update invoices set status = 'paid', paid_at = :paid_at where id = :id;

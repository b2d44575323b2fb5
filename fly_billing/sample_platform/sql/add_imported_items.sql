-- No rows. The items of an imported invoice.
insert into invoice_items (
    id, invoice_id, position, kind, organization_id, product, description, quantity, unit, amount, amount_cents,
    one_off_item_id
)
values (
    :id, :invoice_id, :position, :kind, :organization_id, :product, :description, :quantity, :unit, :amount, :amount_cents,
    :one_off_item_id
)

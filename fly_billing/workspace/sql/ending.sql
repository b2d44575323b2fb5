-- name: end_book_tax
-- No rows. Ends a version of a price book's tax rate with this month.
update tax_rates set last_month = :until where id = cast(:id as uuid);

-- name: end_price
-- No rows. Ends a version of a list price.
update prices set effective_until = :until where id = cast(:id as uuid);

-- name: open_invoices_with
-- One row per open invoice that has an item, a tax or a commitment of one of these records.
select i.id
from invoices as i
where i.status = 'open' and (
    exists (
        select from invoice_items as t
        where t.invoice_id = i.id
            and coalesce(t.one_off_item_id, t.discount_id, t.commitment_id, t.negotiated_price_id) = any (:ids)
    )
    or exists (select from invoice_commitments as c where c.invoice_id = i.id and c.commitment_id = any (:ids))
    or exists (select from invoice_tax_rates as x where x.invoice_id = i.id and x.tax_rate_id = any (:ids))
);

-- name: remove_book_tax
-- No rows. The database refuses it if a final invoice was made with it.
delete from tax_rates where id = cast(:id as uuid);

-- name: remove_price
-- No rows. The database refuses it if a final invoice used it.
delete from prices where id = cast(:id as uuid);

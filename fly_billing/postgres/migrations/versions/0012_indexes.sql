-- Takes the place of (month, status): the same, with what a month's total needs.
create index invoices_by_month on invoices (month, status, currency) include (total_cents);
drop index invoices_month_status_idx;

-- As they were, but without an entry for each of the many items that are neither.
drop index one_off_items_are_billed_once;
create unique index one_off_items_are_billed_once on invoice_items (one_off_item_id)
    where one_off_item_id is not null and not is_void;
drop index adjustments_are_billed_once;
create unique index adjustments_are_billed_once on invoice_items (adjustment_id)
    where adjustment_id is not null and not is_void;

-- What was billed before, void or not, is found without reading all items there ever were.
create index on invoice_items (one_off_item_id) where one_off_item_id is not null;
create index on invoice_items (adjustment_id) where adjustment_id is not null;

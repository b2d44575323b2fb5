-- Takes the place of (month, status): the same, with what a total needs.
create index invoices_by_month on invoices (month, status, currency) include (total_cents);
drop index invoices_month_status_idx;

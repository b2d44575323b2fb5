-- name: last_closed_period
-- One row, or none: the accounting month that was closed last.
select month, closed_at, closed_by from accounting_periods order by month desc limit 1;

-- name: accounting_period
-- One row, or none: the closed accounting month :month.
select month, closed_at, closed_by from accounting_periods where month = :month;

-- name: open_invoices_until
-- One row: the number of open invoices of :month and earlier months.
select count(*) as invoices
from invoices
where month <= :month and status = 'open';

-- name: close_accounting_period
-- One row: the month, closed. Transactions that are posted from now on count in later months.
insert into accounting_periods (month, last_transaction_id, closed_at, closed_by)
values (:month, (select coalesce(max(id), 0) from ledger_transactions), :closed_at, :closed_by)
returning month, closed_at, closed_by;

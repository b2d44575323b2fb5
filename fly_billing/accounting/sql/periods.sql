-- name: last_closed_period
-- One row, or none: the accounting month that was closed last.
select month, closed_at, closed_by, accepted_differences, why from accounting_periods order by month desc limit 1;

-- name: accounting_period
-- One row, or none: the closed accounting month :month.
select month, closed_at, closed_by, accepted_differences, why from accounting_periods where month = :month;

-- name: open_invoices_until
-- One row: the number of open invoices of :month and earlier months.
select count(*) as invoices
from invoices
where month <= :month and status = 'open';

-- name: open_accounting_months
-- One row per month up to :month, after the last closed one, with invoices or entries of the ledger; and :month.
select m.month
from (
    select month from invoices
    union
    select month from ledger_transactions
    union
    select cast(:month as date)
) as m
where m.month <= :month and m.month > coalesce((select max(p.month) from accounting_periods as p), '1970-01-01')
order by m.month;

-- name: close_accounting_period
-- One row: the month, closed. Transactions that are posted from now on count in later months.
insert into accounting_periods (month, last_transaction_id, closed_at, closed_by, accepted_differences, why)
values (:month, (select coalesce(max(id), 0) from ledger_transactions), :closed_at, :closed_by, :accepted, :why)
returning month, closed_at, closed_by, accepted_differences, why;

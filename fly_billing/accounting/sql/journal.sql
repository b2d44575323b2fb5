-- name: journal_sums
-- One row per currency, event, account and side of the entries of the accounting month. Debits are positive.
select
    currency, event, account, cast(sum(amount_cents) as bigint) as amount_cents
from finance_journal
where month = :month
group by currency, event, account, amount_cents > 0
order by currency, event, account, amount_cents > 0 desc;

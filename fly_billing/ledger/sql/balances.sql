-- name: balances_of_organization
-- One row per currency and account that moved up to :last, with what it had before :first, its debits and credits since,
-- and its balance. Debits are positive.
select
    currency, account,
    cast(coalesce(sum(amount_cents) filter (where month < :first), 0) as bigint) as opening_cents,
    cast(coalesce(sum(amount_cents) filter (where month >= :first and amount_cents > 0), 0) as bigint) as debit_cents,
    cast(coalesce(-sum(amount_cents) filter (where month >= :first and amount_cents < 0), 0) as bigint) as credit_cents,
    cast(sum(amount_cents) as bigint) as balance_cents
from ledger_entries
where organization_id = :organization_id and month <= :last
group by currency, account
order by currency, account;

-- name: balances_of_everyone
-- The same for all organizations together.
select
    currency, account,
    cast(coalesce(sum(amount_cents) filter (where month < :first), 0) as bigint) as opening_cents,
    cast(coalesce(sum(amount_cents) filter (where month >= :first and amount_cents > 0), 0) as bigint) as debit_cents,
    cast(coalesce(-sum(amount_cents) filter (where month >= :first and amount_cents < 0), 0) as bigint) as credit_cents,
    cast(sum(amount_cents) as bigint) as balance_cents
from ledger_entries
where month <= :last
group by currency, account
order by currency, account;

-- name: post_missing_to_ledger
-- One row: the number of events that were not in the ledger and are now.
select post_missing_to_ledger() as posted;

-- One row per currency: the newest approval of the month's total.
select distinct on (currency) currency, total_cents, approved_by, approved_at
from sync_approvals
where month = :month
order by currency, id desc

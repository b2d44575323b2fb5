-- name: record_expired_credits
-- One row per prepaid credit of which another amount is lost at :now: what was left of it when the last month ended that
-- it could pay for, once no invoice up to that month is open. Below zero: an amount that was recorded as lost was used by
-- an invoice after all, or the credit lasts longer now.
insert into credit_expiries (credit_grant_id, amount, recorded_at)
select g.id, case when lost.is_over then lost.rest else 0 end - lost.recorded, :now
from credit_grants as g
cross join lateral (
    select
        coalesce(
            month_of(g.expires_at - interval '1 microsecond') < month_of(:now)
            and not exists (
                select from invoices as i
                where i.organization_id = g.organization_id and i.status = 'open'
                    and i.month <= month_of(g.expires_at - interval '1 microsecond')
            ),
            false
        ) as is_over,
        coalesce((select sum(e.amount) from credit_entries as e where e.grant_id = g.id), 0) as rest,
        coalesce((select sum(x.amount) from credit_expiries as x where x.credit_grant_id = g.id), 0) as recorded
) as lost
where g.pays = 'gross' and case when lost.is_over then lost.rest else 0 end <> lost.recorded
    and (g.expires_at <= :now or lost.recorded <> 0)
returning credit_grant_id;

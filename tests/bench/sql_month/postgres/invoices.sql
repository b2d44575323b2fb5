-- An invoice for each organization, also without items; its total is rounded once.
insert into sql_month.invoices (organization_id, month, currency, amount, total_cents)
select o.id, :month, o.currency, coalesce(l.amount, 0), round(coalesce(l.amount, 0) * 100)
from organizations as o
left join (select organization_id, sum(amount) as amount from lines group by organization_id) as l
    on l.organization_id = o.id
where o.created_at < :month_end

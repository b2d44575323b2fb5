-- dbt's `unique`: organizations with several invoices in the month.
select organization_id
from sql_month.invoices
where month = :month
group by organization_id
having count(*) > 1

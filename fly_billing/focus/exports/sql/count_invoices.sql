-- One row: the number of the month's invoices that are final, open and void.
select
    count(*) filter (where status not in ('open', 'void')) as final,
    count(*) filter (where status = 'open') as open,
    count(*) filter (where status = 'void') as void
from invoices
where month = :month

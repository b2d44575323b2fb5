-- One row: how many invoices of the month go into its file, and how many are left out as they are open or void.
select
    count(*) filter (where status not in ('open', 'void')) as final,
    count(*) filter (where status = 'open') as open,
    count(*) filter (where status = 'void') as void
from invoices
where month = :month

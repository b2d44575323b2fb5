-- One row: the first month of which usage was landed (null: none was).
select min(month) as month from landed_months

-- No rows. The usage table has no rows of these parts: what they once brought was landed again without it.
update landed_months set rows = 0, files = '' where rows is null

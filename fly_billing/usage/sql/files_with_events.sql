-- One row per file of these landing days of which events were accepted.
select landing_day, path from usage_files where landing_day = any (:days) and accepted > 0

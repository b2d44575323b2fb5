-- One row: the last landing day of which files were landed, or null.
select max(landing_day) as last from usage_files

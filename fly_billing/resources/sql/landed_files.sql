-- One row per landed file.
select landing_day, path, sha256 from usage_files

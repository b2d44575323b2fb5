-- One row per landed file.
select landing_day, path, sha256, bytes from usage_files

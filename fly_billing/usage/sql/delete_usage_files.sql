-- No rows. Forgets what these landing days brought before (their rejected rows go with them).
delete from usage_files where landing_day = any (:days)

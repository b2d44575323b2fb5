-- One row per file that was rejected as a whole: it could not be read, or is of no known format.
select landing_day, path, reason, message from rejected_usage where line = 0 order by landing_day, path

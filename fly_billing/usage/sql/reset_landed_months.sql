-- No rows. Resets the counts of these days before they are counted again. The rows stay: the days once had this usage.
update landed_months set accepted = 0, rows = 0, files = '' where landing_day = any (:days)

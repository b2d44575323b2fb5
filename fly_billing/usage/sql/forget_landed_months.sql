-- No rows. What these days bring is counted again; that they once brought usage of a month is remembered.
update landed_months set accepted = 0, rows = 0, files = '' where landing_day = any (:days)

-- No rows. Duplicates of this file have become accepted events.
update usage_files set accepted = :accepted, duplicate = :duplicate where landing_day = :day and path = :path

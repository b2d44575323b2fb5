-- One row per usage rollup of these: what each day of its month added, the 1st first; null where that was not kept.
select id, daily from usage_rollups where id = any (:ids)

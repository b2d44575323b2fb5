"""The platform's own database, such as that of its Rails or Phoenix app, as a source of organizations and their terms.

Its rows become the records that a workspace's planner and writers know: `snapshot` reads them, `rows` checks each one,
`recording` compares them with the billing database and writes the difference. A bad row keeps its own organization as
it is, and no other one. Not here: the section `databases` of sources.yaml (`workspace.databases`).
"""

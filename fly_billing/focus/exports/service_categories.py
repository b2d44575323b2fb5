"""FOCUS's category and subcategory of each product in the shipped price book. Other products get "Other"."""

from __future__ import annotations

_CATEGORIES = {
    "Bandwidth": ("Networking", "Network Connectivity"),
    "Certificates": ("Security", "Other (Security)"),
    "GPUs": ("Compute", "Virtual Machines"),
    "IP addresses": ("Networking", "Network Infrastructure"),
    "Kubernetes": ("Compute", "Containers"),
    "Machines": ("Compute", "Virtual Machines"),
    "Managed Postgres": ("Databases", "Relational Databases"),
    "Support": ("Management and Governance", "Support"),
    "Upstash Redis": ("Databases", "Caching"),
    "Volumes": ("Storage", "Block Storage"),
}
_OTHER = ("Other", "Other (Other)")


def service_category(product: str) -> str:
    return _CATEGORIES.get(product, _OTHER)[0]


def service_subcategory(product: str) -> str:
    """Return the subcategory. Each subcategory belongs to one category."""
    return _CATEGORIES.get(product, _OTHER)[1]

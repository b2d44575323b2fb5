"""FOCUS's category of each product that the shipped price book has. Another book's products are "Other"."""

from __future__ import annotations

_CATEGORIES = {
    "Bandwidth": "Networking",
    "Certificates": "Security",
    "GPUs": "Compute",
    "IP addresses": "Networking",
    "Kubernetes": "Compute",
    "Machines": "Compute",
    "Managed Postgres": "Databases",
    "Support": "Management and Governance",
    "Upstash Redis": "Databases",
    "Volumes": "Storage",
}


def service_category(product: str) -> str:
    return _CATEGORIES.get(product, "Other")

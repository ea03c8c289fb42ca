"""A table's runs beside the published numbers."""

"""Reports of a table's runs beside the published numbers."""

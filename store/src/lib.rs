//! Parquet writing and reading: layout, tables, sidecars and findings.

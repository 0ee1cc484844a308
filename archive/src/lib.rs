//! Learn and score over Parquet archives: one engine-free step, file to sidecar and summary.

// What is measured, by the names that everything has for it (`bench/src/names.rs`, docs/bench.md).

export const STREAMING = "streaming";
export const RANDOM = "random 32-byte reads";
export const COPY_TO = "copy to the device";
export const COPY_BACK = "copy back";
export const KERNEL = "kernel only";
export const ARROW = "Arrow in to scores out";
export const BATCHES = "batches";
export const LEARNING = "learning";
export const READING = "reading Parquet";
export const TO_BASELINE = "Parquet to baseline";
export const TO_PARQUET = "Parquet to Parquet";

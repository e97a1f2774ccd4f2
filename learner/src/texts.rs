//! Reads labelled and unlabelled texts from CSV, TSV or JSONL.

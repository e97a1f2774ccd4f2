//! Tiny models for tests.

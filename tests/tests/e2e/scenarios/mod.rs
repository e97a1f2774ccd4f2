//! The scenarios, each a test of its own; they need browsers and the built binary.

mod bad_input;
mod first_step;
mod five_rounds;
mod person;
mod places;
mod restart;
mod workers;

//! The counter that `pleach op new rust` makes, with its own test.

#[path = "../../../sdk/templates/counter.rs"]
mod counter;

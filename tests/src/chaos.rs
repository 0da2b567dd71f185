//! What a crash campaign decides: what it asks for and when it strikes, drawn
//! from a seed; what it keeps outside of the processes under test; and what must
//! hold of that in the end.
//!
//! Everything here is pure. `tests/chaos` starts processes, kills them and
//! drives them.

pub mod check;
pub mod evidence;
pub mod schedule;

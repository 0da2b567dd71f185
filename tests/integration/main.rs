//! The one integration binary: each module is a concern.

mod tidy;

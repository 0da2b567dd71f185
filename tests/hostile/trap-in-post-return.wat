;; Answers well, and traps where it may tidy up.
(func (export "after-create") (param i32) unreachable)

;; Answers well, and loops where it may tidy up.
(func (export "after-create") (param i32) (loop $again br $again))

;; Recurses for ever.
(func $deeper (param i64) (result i64)
    (i64.add (local.get 0) (call $deeper (i64.add (local.get 0) (i64.const 1)))))
(func (export "create") (param i32) (result i32)
    (i32.wrap_i64 (call $deeper (i64.const 1))))

;; Fails with a code that the contract does not have.
(func (export "create") (param i32) (result i32)
    (i32.store8 (i32.const 64) (i32.const 2))
    (i32.store8 (i32.const 68) (i32.const 200))
    (i32.const 64))

;; Gives the host one and the same room for everything, over its own answers.
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
